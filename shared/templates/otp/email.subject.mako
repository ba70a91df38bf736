${code} is your sign-in code
