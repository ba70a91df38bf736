Welcome, ${user_name}
