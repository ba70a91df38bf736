<% items = context.get("items") or [] %>\
Hello ${user_name}, your order *${order_id}* is on its way with ${carrier}.
% for item in items:
- ${item.get("quantity", 1)} x ${item["name"]}
% endfor
Track it: ${tracking_url}
