<%inherit file="/_layout/email.html.mako"/>
<%namespace name="ui" file="/_layout/blocks.html.mako"/>
<%! lang = "pt-BR" %>
<% start_url = context.get("start_url") %>
<%def name="preheader()">Sua conta está pronta. Veja os próximos passos.</%def>
<%def name="heading()">Boas-vindas, ${user_name}</%def>
<%def name="reason()">Você recebeu esta mensagem porque uma conta foi criada com este endereço.</%def>
<p>Obrigado por se cadastrar. Sua conta está pronta e você já pode começar.</p>
<p>A partir de agora, as mensagens sobre a sua conta chegam neste endereço. Se precisar de ajuda, responda a este e-mail e uma pessoa vai atender você.</p>
% if start_url:
${ui.button("Começar", start_url)}
% endif
<p class="note soft">Não foi você quem se cadastrou? Então pode ignorar esta mensagem: sem você, a conta não será usada.</p>
