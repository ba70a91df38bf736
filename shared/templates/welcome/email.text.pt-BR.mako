<% start_url = context.get("start_url") %>\
Boas-vindas, ${user_name}

Obrigado por se cadastrar. Sua conta está pronta e você já pode começar.

A partir de agora, as mensagens sobre a sua conta chegam neste endereço. Se
precisar de ajuda, responda a este e-mail e uma pessoa vai atender você.
% if start_url:

Começar: ${start_url}
% endif

Não foi você quem se cadastrou? Então pode ignorar esta mensagem: sem você, a
conta não será usada.
