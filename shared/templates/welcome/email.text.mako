<% start_url = context.get("start_url") %>\
Welcome, ${user_name}

Thank you for signing up. Your account is ready, and you can start right away.

From now on, messages about your account come to this address. If you need a
hand, reply to this email and a person will answer.
% if start_url:

Get started: ${start_url}
% endif

Did you not sign up? Then you can ignore this message: without you, the account
stays unused.
