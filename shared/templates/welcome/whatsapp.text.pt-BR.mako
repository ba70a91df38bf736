*Boas-vindas, ${user_name}!*
Sua conta está pronta e você já pode começar.
Precisa de ajuda? Responda aqui.
