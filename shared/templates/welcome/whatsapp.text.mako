*Welcome, ${user_name}!*
Your account is ready, and you can start right away.
Need a hand? Answer here.
