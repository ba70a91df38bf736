<%def name="kind(schema)"><% name = type_name(schema) %>\
% for index, word in enumerate(name.split(" ")):
${"" if index == 0 else " "}\
% if word in document["components"]["schemas"]:
<a href="#schema-${word}">${word}</a>\
% else:
<code>${word}</code>\
% endif
% endfor
</%def>\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${document["info"]["title"]} API</title>
<style>${style | n}</style>
</head>
<body>
<div class="layout">
<nav aria-label="Contents">
<p><strong>${document["info"]["title"]} API</strong> <span class="soft">${document["info"]["version"]}</span></p>
% for tag in document["tags"]:
<h4>${tag["name"]}</h4>
<ul>
% for path, operations in document["paths"].items():
% for method, operation in operations.items():
% if tag["name"] in operation["tags"]:
<li><a href="#${operation["operationId"]}">${operation["summary"]}</a></li>
% endif
% endfor
% endfor
</ul>
% endfor
<h4>Schemas</h4>
<ul>
% for name in document["components"]["schemas"]:
<li><a href="#schema-${name}">${name}</a></li>
% endfor
</ul>
</nav>
<main>
<h1>${document["info"]["title"]} API</h1>
<p class="soft">${document["info"]["description"]} The same as a document for tools:
<a href="/openapi.json">/openapi.json</a>.</p>
% if "securitySchemes" in document["components"]:
<p>Requests under <code>/v1</code> carry an API key: <code>Authorization: Bearer &lt;key&gt;</code>.
The examples below take it from the variable <code>CLARION_KEY</code>.</p>
% else:
<p>This gateway asks for no API keys.</p>
% endif
% for tag in document["tags"]:
<h2>${tag["name"]}</h2>
% for path, operations in document["paths"].items():
% for method, operation in operations.items():
% if tag["name"] in operation["tags"]:
<section id="${operation["operationId"]}">
<h3><span class="method ${method}">${method.upper()}</span> <code>${path}</code></h3>
<p><strong>${operation["summary"]}.</strong> ${prose(operation.get("description", "")) | n}\
% for needed in operation.get("security", []):
 Needs a key with the scope <code>${"".join(needed["apiKey"])}</code>.\
% endfor
</p>
% if operation.get("parameters"):
<h4>Parameters</h4>
<div class="table"><table><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr>
% for parameter in operation["parameters"]:
<tr><td><code>${parameter["name"]}</code></td><td>${parameter["in"]}</td>
<td>${kind(parameter["schema"])}</td><td>${prose(parameter.get("description", "")) | n}</td></tr>
% endfor
</table></div>
% endif
% if "requestBody" in operation:
<% body = operation["requestBody"]["content"]["application/json"]["schema"] %>
<h4>Body: ${kind(body)}</h4>
<pre>${example(document, body)}</pre>
% endif
<h4>Example</h4>
<pre>${curl(document, method, path, operation)}</pre>
<h4>Answers</h4>
<div class="table"><table><tr><th>Status</th><th>Meaning</th><th>Body</th></tr>
% for status, answer in operation["responses"].items():
<tr><td>${status}</td><td>${prose(answer["description"]) | n}</td><td>
% for media, content in answer.get("content", {}).items():
${kind(content["schema"])} <span class="soft">${media}</span>
% endfor
</td></tr>
% endfor
</table></div>
</section>
% endif
% endfor
% endfor
% endfor
<h2>Schemas</h2>
% for name, schema in document["components"]["schemas"].items():
<section id="schema-${name}">
<h3>${name}</h3>
<p class="soft">${prose(schema.get("description", "")) | n}</p>
% if "enum" in schema:
<p>One of \
% for value in schema["enum"]:
<code>${value}</code> \
% endfor
</p>
% endif
% if schema.get("properties"):
<div class="table"><table><tr><th>Field</th><th>Type</th><th>Required</th><th>Meaning</th></tr>
% for field, described in schema["properties"].items():
<tr><td><code>${field}</code></td><td>${kind(described)}</td>
<td>${"yes" if field in schema.get("required", []) else "no"}</td>
<td>${prose(described.get("description", "")) | n}</td></tr>
% endfor
</table></div>
% endif
</section>
% endfor
</main>
</div>
</body>
</html>
