## The frame of every HTML email: tables and inline styles, because Outlook and Gmail honour little
## else. A part that inherits it gives its language, the defs below and a body.
<%! brand = "Clarion" %>\
<%def name="preheader()"></%def>\
<%def name="heading()"></%def>\
<%def name="reason()"></%def>\
<!DOCTYPE html>
<html lang="${self.attr.lang}" dir="ltr" xmlns="http://www.w3.org/1999/xhtml" xmlns:o="urn:schemas-microsoft-com:office:office">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="x-apple-disable-message-reformatting">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>${self.heading()}</title>
<!--[if mso]>
<xml><o:OfficeDocumentSettings><o:PixelsPerInch>96</o:PixelsPerInch></o:OfficeDocumentSettings></xml>
<style>table, td, p, h1, a { font-family: Arial, sans-serif !important; }</style>
<![endif]-->
<style>
:root { color-scheme: light dark; supported-color-schemes: light dark; }
body { margin: 0; padding: 0; width: 100%; -webkit-text-size-adjust: 100%; -ms-text-size-adjust: 100%; }
table { border-collapse: separate; mso-table-lspace: 0; mso-table-rspace: 0; }
a { color: #1d4ed8; }
p { margin: 0 0 16px; }
.note { margin: 24px 0 0; font-size: 14px; line-height: 22px; color: #64707f; }
@media (max-width: 600px) {
  .outer { padding: 16px 10px !important; }
  .card { padding: 28px 22px !important; }
}
@media (prefers-color-scheme: dark) {
  .page { background-color: #10141b !important; }
  .card { background-color: #1a212c !important; border-color: #2b3442 !important; }
  .panel { background-color: #232c39 !important; }
  .line { border-color: #2b3442 !important; }
  .ink, .ink h1, .ink p, .ink td { color: #e8ecf3 !important; }
  .soft, .ink .soft { color: #9ca8b8 !important; }
  .accent { color: #8fb0ff !important; }
}
</style>
</head>
<body class="page" style="margin:0; padding:0; background-color:#f2f4f8;">
<div style="display:none; max-height:0; max-width:0; overflow:hidden; opacity:0; font-size:1px; line-height:1px; color:#f2f4f8; mso-hide:all;">${self.preheader()}${"&#847;&zwnj;&nbsp;" * 60 | n}</div>
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" bgcolor="#f2f4f8" style="background-color:#f2f4f8;">
<tr>
<td class="outer" align="center" style="padding:36px 16px;">
<!--[if mso]><table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" align="center"><tr><td><![endif]-->
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:600px; margin:0 auto; table-layout:fixed;">
<tr>
<td class="accent" style="padding:0 4px 18px; font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif; font-size:19px; line-height:24px; font-weight:700; letter-spacing:-0.2px; color:#1d4ed8;">${self.attr.brand}</td>
</tr>
<tr>
<td class="card ink" bgcolor="#ffffff" style="padding:40px; background-color:#ffffff; border:1px solid #e2e7ef; border-radius:12px; font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif; font-size:16px; line-height:25px; color:#1b2430; word-break:break-word; overflow-wrap:anywhere;">
<h1 style="margin:0 0 18px; font-size:25px; line-height:32px; font-weight:700; letter-spacing:-0.4px; color:#1b2430;">${self.heading()}</h1>
${next.body()}
</td>
</tr>
<tr>
<td class="soft" style="padding:22px 4px 0; font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif; font-size:13px; line-height:20px; color:#64707f;">${self.reason()}</td>
</tr>
</table>
<!--[if mso]></td></tr></table><![endif]-->
</td>
</tr>
</table>
</body>
</html>
