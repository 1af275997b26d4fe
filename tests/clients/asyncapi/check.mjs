// Reads an AsyncAPI document on stdin; says what is wrong with it, and exits 1 if anything is.
import parser from "@asyncapi/parser";

let text = "";
for await (const chunk of process.stdin) text += chunk;
const { document, diagnostics } = await new parser.Parser().parse(text);
const wrong = diagnostics.filter(({ severity }) => severity <= 1);
for (const { message, path, severity } of wrong) console.log(severity === 0 ? "error" : "warning", path.join("."), message);
if (!document || wrong.length > 0) process.exit(1);
console.log(`${document.allChannels().length} channels, ${document.allMessages().length} messages, ${document.allOperations().length} operations`);
