<%inherit file="/_layout/email.html.mako"/>
<%namespace name="ui" file="/_layout/blocks.html.mako"/>
<%! lang = "en" %>
<% unit = "minute" if str(expires_minutes) == "1" else "minutes" %>
<%def name="preheader()">It is valid for a short time. Never pass it on.</%def>
<%def name="heading()">Your sign-in code</%def>
<%def name="reason()">You are receiving this message because someone asked to sign in with this address.</%def>
<p>Enter this code to finish signing in:</p>
<%ui:panel><p style="margin:0; text-align:center; font-family:Consolas,Menlo,'Courier New',monospace; font-size:34px; line-height:44px; font-weight:700; letter-spacing:6px; color:#1b2430;">${code}</p></%ui:panel>
<p>It expires in ${expires_minutes} ${unit} and works once.</p>
<p class="note soft">We never ask for this code by phone or chat. If you did not try to sign in, ignore this message and tell no one the code.</p>
