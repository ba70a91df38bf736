Your sign-in code
