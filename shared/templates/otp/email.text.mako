<% unit = "minute" if str(expires_minutes) == "1" else "minutes" %>\
Your sign-in code is ${code}

It expires in ${expires_minutes} ${unit} and works once.

We never ask for this code by phone or chat. If you did not try to sign in,
ignore this message and tell no one the code.
