<%inherit file="/_layout/email.html.mako"/>
<%namespace name="ui" file="/_layout/blocks.html.mako"/>
<%! lang = "en" %>
<% items = context.get("items") or [] %>
<%def name="preheader()">${carrier} has your parcel. Follow it to your door.</%def>
<%def name="heading()">Your order is on its way</%def>
<%def name="reason()">You are receiving this message because you placed order ${order_id}.</%def>
<p>Hello ${user_name}, we have handed your order to ${carrier}. You can follow it from here to your door.</p>
<%ui:panel><table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
${ui.fact("Order", order_id)}
${ui.fact("Carrier", carrier)}
</table></%ui:panel>
% if items:
<table width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 6px;">
<tr>
<th class="soft line" align="left" style="padding:0 0 8px; border-bottom:1px solid #e2e7ef; font-size:13px; line-height:18px; font-weight:600; color:#64707f;">Item</th>
<th class="soft line" align="right" width="20%" style="padding:0 0 8px; border-bottom:1px solid #e2e7ef; font-size:13px; line-height:18px; font-weight:600; color:#64707f;">Quantity</th>
</tr>
% for item in items:
<tr>
<td class="line" align="left" valign="top" style="padding:11px 12px 11px 0; border-bottom:1px solid #e2e7ef; font-size:15px; line-height:22px;">${item["name"]}</td>
<td class="line" align="right" valign="top" style="padding:11px 0; border-bottom:1px solid #e2e7ef; font-size:15px; line-height:22px;">${item.get("quantity", 1)}</td>
</tr>
% endfor
</table>
% endif
${ui.button("Track your parcel", tracking_url)}
<p class="note soft">Something not right with your order? Reply to this email and a person will help.</p>
