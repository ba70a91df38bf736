<% items = context.get("items") or [] %>\
Hello ${user_name},

we have handed your order to ${carrier}. You can follow it from here to your
door.

Order:   ${order_id}
Carrier: ${carrier}
% if items:

In this parcel:
% for item in items:
- ${item.get("quantity", 1)} x ${item["name"]}
% endfor
% endif

Track your parcel: ${tracking_url}

Something not right with your order? Reply to this email and a person will help.
