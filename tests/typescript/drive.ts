// Uses a running Switchboard with the client that openapi-typescript makes of its document.
// `node built/drive.js URL [KEY]` prints one line of JSON for each thing that it saw.
import createClient from "openapi-fetch";
import type { paths } from "./switchboard.js";

const [, , baseUrl, key] = process.argv;
if (!baseUrl) throw new Error("usage: drive.js URL [KEY]");

const client = createClient<paths>({
  baseUrl,
  headers: key ? { Authorization: `Bearer ${key}` } : {},
});

function say(what: string, value: unknown): void {
  console.log(JSON.stringify({ what, value }));
}

function sure<T>(result: { data?: T; error?: unknown; response: Response }): T {
  if (result.data === undefined) {
    throw new Error(`${result.response.status}: ${JSON.stringify(result.error)}`);
  }
  return result.data;
}

// These answer with JSON, or with events where `Accept` asks for them.
function json<T>(data: T): Exclude<T, string> {
  if (typeof data === "string") throw new Error("events were not asked for");
  return data as Exclude<T, string>;
}

const services = sure(await client.GET("/v1/services"));
say("services", services.services.map((service) => [service.name, service.ready]));

const feelings = sure(
  await client.POST("/v1/classify", { body: { texts: ["Thank you so much!"] } }),
);
say("labels", feelings.results[0]?.labels);

const answer = sure(
  await client.POST("/v1/answer", {
    body: { question: "When was it built?", context: "The bridge was built in 1894." },
  }),
);
say("answer", answer.answers[0]?.text);

const wish = json(
  sure(await client.POST("/v1/assist", { body: { text: "draw a red circle" } })),
);
say("intent", wish.intent);

const chat = json(
  sure(
    await client.POST("/v1/chat/completions", {
      body: {
        model: "switchboard",
        messages: [{ role: "user", content: 'How does "I won!" sound?' }],
      },
    }),
  ),
);
say("chat", chat.choices[0]?.message.content);

const refused = await client.POST("/v1/assist", { body: { text: "" } });
say("refused", refused.response.status);
