<%inherit file="/_layout/email.html.mako"/>
<%namespace name="ui" file="/_layout/blocks.html.mako"/>
<%! lang = "en" %>
<% start_url = context.get("start_url") %>
<%def name="preheader()">Your account is ready. Here is what happens next.</%def>
<%def name="heading()">Welcome, ${user_name}</%def>
<%def name="reason()">You are receiving this message because an account was created with this address.</%def>
<p>Thank you for signing up. Your account is ready, and you can start right away.</p>
<p>From now on, messages about your account come to this address. If you need a hand, reply to this email and a person will answer.</p>
% if start_url:
${ui.button("Get started", start_url)}
% endif
<p class="note soft">Did you not sign up? Then you can ignore this message: without you, the account stays unused.</p>
