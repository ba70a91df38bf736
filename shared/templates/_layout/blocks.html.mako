## The pieces of an HTML email that take more than one tag.
## A value from outside becomes a link only if it is a web address: anything else is shown as text.
<%def name="button(label, url)">
% if str(url).startswith(("https://", "http://")):
<table role="presentation" class="button" cellpadding="0" cellspacing="0" border="0" style="margin:26px 0 10px;">
<tr>
<td align="center" bgcolor="#1d4ed8" style="border-radius:8px; background-color:#1d4ed8;"><a href="${url}" target="_blank" style="display:inline-block; padding:13px 26px; border:1px solid #1d4ed8; border-radius:8px; font-size:16px; line-height:22px; font-weight:600; color:#ffffff; text-decoration:none;">${label}</a></td>
</tr>
</table>
% else:
<p>${label}: ${url}</p>
% endif
</%def>
<%def name="panel()">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:4px 0 20px; table-layout:fixed;">
<tr>
<td class="panel" bgcolor="#f2f5fb" style="padding:18px 22px; border-radius:8px; background-color:#f2f5fb;">${caller.body()}</td>
</tr>
</table>
</%def>
<%def name="fact(label, value)">
<tr>
<td class="soft" width="34%" valign="top" style="padding:4px 12px 4px 0; font-size:14px; line-height:21px; color:#64707f;">${label}</td>
<td valign="top" style="padding:4px 0; font-size:15px; line-height:21px; font-weight:600;">${value}</td>
</tr>
</%def>
