Boas-vindas, ${user_name}
