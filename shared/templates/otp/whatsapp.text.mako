*${code}* is your sign-in code. It is valid for ${expires_minutes} min.
For your security, do not share it.
