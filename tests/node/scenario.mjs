// The whole road by the official client for Node, which reads OPENAI_BASE_URL and OPENAI_API_KEY.
// For each check one line of JSON is printed: {"name", "ok", "detail"}.
//
// The server's model must be the one of tests/e2e/scripted_model.py, whose sentences are used here.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const MODEL = 'scripted';
const ECHO = 'Say Lagos 731';
const ECHOED = 'Lagos 731';
const WEATHER = 'What is the weather in Reykjavik?';
const CITY = { city: 'Reykjavik' };
const DEGREES = '17 degrees';
const REPORTED = 'Result: 17 degrees';
const ENDLESS = 'Talk on.';
const CHECK_MS = 30_000;

const GET_WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
    },
  },
};

// A repeated request could hide an answer that should not have been given.
const client = new OpenAI({ maxRetries: 0, timeout: CHECK_MS });
const { assistants, threads } = client.beta;

const user = (content) => [{ role: 'user', content }];
const reversed = (items) => [...items].reverse();
const textOf = (message) => message.content.map((part) => part.text.value).join('');

const assistantFor = (tools = []) => assistants.create({ model: MODEL, temperature: 0, tools });

async function newest(threadId) {
  const { data } = await threads.messages.list(threadId, { limit: 1 });
  assert.equal(data[0].role, 'assistant');
  assert.equal(data[0].status, 'completed');
  return textOf(data[0]);
}

async function readAll(pages) {
  const sizes = [];
  const items = [];
  for await (const page of (await pages).iterPages()) {
    sizes.push(page.data.length);
    items.push(...page.data);
  }
  return { sizes, ids: items.map((item) => item.id) };
}

async function listed(pages) {
  const ids = [];
  for await (const item of pages) ids.push(item.id);
  return ids;
}

// The names of what handlers are told, in order, without the deltas, whose number may vary.
function heard(stream) {
  const told = [];
  const names = ['runStepCreated', 'runStepDone', 'messageCreated', 'messageDone', 'textCreated'];
  for (const name of [...names, 'textDone', 'toolCallCreated', 'toolCallDone', 'end']) {
    stream.on(name, () => told.push(name));
  }
  return told;
}

async function waitingForWeather() {
  const assistant = await assistantFor([GET_WEATHER]);
  const thread = { messages: user(WEATHER) };
  const run = await threads.createAndRunPoll({ assistant_id: assistant.id, thread });
  assert.equal(run.status, 'requires_action');
  return run;
}

function callsOf(run) {
  assert.equal(run.required_action.type, 'submit_tool_outputs');
  return run.required_action.submit_tool_outputs.tool_calls;
}

function outputsFor(run) {
  const tool_outputs = callsOf(run).map((call) => ({ tool_call_id: call.id, output: DEGREES }));
  return { thread_id: run.thread_id, tool_outputs };
}

async function refusal(asked, Class) {
  const error = await asked.then(
    () => assert.fail(`answered, though a ${Class.name} was due`),
    (error) => error,
  );
  assert.ok(error instanceof Class, `${error.constructor.name} is no ${Class.name}: ${error}`);
  assert.ok(error.requestID);
  const { status, type, param, code } = error;
  return { status, type, param, code };
}

const refusals = (asked, Class) => Promise.all(asked.map((each) => refusal(each, Class)));

const CHECKS = {
  'an assistant is created, retrieved, updated and deleted': async () => {
    const made = await assistants.create({
      model: MODEL,
      name: 'Guide',
      instructions: 'Be brief.',
      tools: [GET_WEATHER],
      metadata: { team: 'north' },
      temperature: 0.5,
    });
    assert.equal(made.object, 'assistant');
    assert.equal(made.tools[0].function.name, 'get_weather');
    assert.deepEqual(made.metadata, { team: 'north' });
    assert.deepEqual(await assistants.retrieve(made.id), made);
    const changed = await assistants.update(made.id, { name: 'Old guide' });
    assert.deepEqual(changed, { ...made, name: 'Old guide' });
    const gone = await assistants.delete(made.id);
    assert.deepEqual(gone, { id: made.id, object: 'assistant.deleted', deleted: true });
    await refusal(assistants.retrieve(made.id), OpenAI.NotFoundError);
  },

  'assistants are listed over several pages': async () => {
    const made = [];
    for (let n = 0; n < 5; n++) made.push((await assistantFor()).id);
    const ids = await listed(assistants.list({ limit: 2 }));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(ids.slice(0, 5), reversed(made));
    const after = await assistants.list({ order: 'asc', after: made[1], limit: 2 });
    assert.deepEqual(after.data.map((each) => each.id), made.slice(2, 4));
    return { listed: ids.length };
  },

  'a thread is created, retrieved, updated and deleted': async () => {
    const made = await threads.create({ messages: user('Hi'), metadata: { a: 'b' } });
    assert.deepEqual(await threads.retrieve(made.id), made);
    const changed = await threads.update(made.id, { metadata: { c: 'd' } });
    assert.deepEqual(changed, { ...made, metadata: { c: 'd' } });
    assert.equal((await threads.delete(made.id)).deleted, true);
    await refusal(threads.retrieve(made.id), OpenAI.NotFoundError);
  },

  'a thread is created from no arguments': async () => {
    const thread = await threads.create();
    assert.deepEqual((await threads.messages.list(thread.id)).data, []);
  },

  'a message is created, retrieved, updated and deleted': async () => {
    const thread_id = (await threads.create()).id;
    const content = [{ type: 'text', text: 'Hi' }];
    const made = await threads.messages.create(thread_id, { role: 'user', content });
    assert.equal(textOf(made), 'Hi');
    assert.deepEqual(await threads.messages.retrieve(made.id, { thread_id }), made);
    const metadata = { seen: 'yes' };
    const changed = await threads.messages.update(made.id, { thread_id, metadata });
    assert.deepEqual(changed, { ...made, metadata });
    assert.equal((await threads.messages.delete(made.id, { thread_id })).deleted, true);
    await refusal(threads.messages.retrieve(made.id, { thread_id }), OpenAI.NotFoundError);
  },

  'messages are listed over several pages': async () => {
    const thread = await threads.create();
    const made = [];
    for (let n = 0; n < 7; n++) {
      const [message] = user(String(n));
      made.push((await threads.messages.create(thread.id, message)).id);
    }
    const { sizes, ids } = await readAll(threads.messages.list(thread.id, { limit: 2 }));
    assert.deepEqual(sizes, [2, 2, 2, 1]);
    assert.deepEqual(ids, reversed(made));
    const ascending = await listed(threads.messages.list(thread.id, { limit: 3, order: 'asc' }));
    assert.deepEqual(ascending, made);
    return { pages: sizes };
  },

  'createAndPoll gives the right answer': async () => {
    const assistant = await assistantFor();
    const thread = await threads.create({ messages: user(ECHO) });
    const run = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id });
    assert.equal(run.status, 'completed');
    assert.equal(await newest(thread.id), ECHOED);
    const { prompt_tokens, completion_tokens, total_tokens } = run.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
  },

  'createAndRunPoll gives the right answer': async () => {
    const assistant = await assistantFor();
    const thread = { messages: user(ECHO) };
    const run = await threads.createAndRunPoll({ assistant_id: assistant.id, thread });
    assert.equal(run.status, 'completed');
    assert.equal(await newest(run.thread_id), ECHOED);
  },

  'runs.stream tells its handlers everything in order': async () => {
    const assistant = await assistantFor();
    const thread = await threads.create({ messages: user(ECHO) });
    const stream = threads.runs.stream(thread.id, { assistant_id: assistant.id });
    const told = heard(stream);
    const events = [];
    let deltas = 0;
    let text = '';
    let whole;
    stream.on('event', ({ event }) => events.push(event));
    stream.on('textDelta', (delta, snapshot) => {
      deltas += 1;
      text += delta.value;
      assert.equal(snapshot.value, text);
    });
    stream.on('textDone', (done) => (whole = done.value));
    const run = await stream.finalRun();
    assert.deepEqual(told, [
      'runStepCreated',
      'messageCreated',
      'textCreated',
      'textDone',
      'messageDone',
      'runStepDone',
      'end',
    ]);
    assert.equal(text, ECHOED);
    assert.equal(whole, ECHOED);
    assert.equal(events[0], 'thread.run.created');
    assert.equal(events.at(-1), 'thread.run.completed');
    assert.deepEqual(await threads.runs.retrieve(run.id, { thread_id: thread.id }), run);
    const [step] = await stream.finalRunSteps();
    const [message] = await stream.finalMessages();
    assert.equal(step.step_details.message_creation.message_id, message.id);
    assert.equal(textOf(message), ECHOED);
    return { deltas };
  },

  'createAndRunStream gives the right answer': async () => {
    const assistant = await assistantFor();
    const thread = { messages: user(ECHO) };
    const stream = threads.createAndRunStream({ assistant_id: assistant.id, thread });
    let text = '';
    stream.on('textDelta', (delta) => (text += delta.value));
    assert.equal((await stream.finalRun()).status, 'completed');
    assert.equal(text, ECHOED);
  },

  'the events of a stream are iterated without a helper': async () => {
    const assistant = await assistantFor();
    const thread = await threads.create({ messages: user(ECHO) });
    const params = { assistant_id: assistant.id, stream: true };
    const ends = {};
    let text = '';
    for await (const { event, data } of await threads.runs.create(thread.id, params)) {
      ends[event] = data;
      if (event === 'thread.message.delta') text += textOf(data.delta);
    }
    assert.equal(text, ECHOED);
    const run = ends['thread.run.completed'];
    const path = { thread_id: thread.id };
    assert.deepEqual(await threads.runs.retrieve(run.id, path), run);
    const message = ends['thread.message.completed'];
    assert.deepEqual(await threads.messages.retrieve(message.id, path), message);
  },

  'a stream tells its handlers of a function call': async () => {
    const assistant = await assistantFor([GET_WEATHER]);
    const thread = await threads.create({ messages: user(WEATHER) });
    const stream = threads.runs.stream(thread.id, { assistant_id: assistant.id });
    const told = heard(stream);
    let text = '';
    let whole;
    stream.on('toolCallCreated', (call) => {
      assert.equal(call.function.name, 'get_weather');
      text = call.function.arguments;
    });
    stream.on('toolCallDelta', (delta, snapshot) => {
      told.push('toolCallDelta');
      text += delta.function.arguments;
      assert.equal(snapshot.function.arguments, text);
    });
    stream.on('toolCallDone', (call) => (whole = call));
    const run = await stream.finalRun();
    assert.equal(run.status, 'requires_action');
    assert.deepEqual(
      [...new Set(told)],
      ['runStepCreated', 'toolCallCreated', 'toolCallDelta', 'toolCallDone', 'end'],
    );
    assert.deepEqual(JSON.parse(text), CITY);
    const [call] = callsOf(run);
    assert.equal(whole.id, call.id);
    assert.equal(whole.function.arguments, call.function.arguments);
    return { deltas: told.filter((name) => name === 'toolCallDelta').length };
  },

  'submitToolOutputsAndPoll goes on with a run': async () => {
    const run = await waitingForWeather();
    assert.deepEqual(JSON.parse(callsOf(run)[0].function.arguments), CITY);
    const ended = await threads.runs.submitToolOutputsAndPoll(run.id, outputsFor(run));
    assert.equal(ended.status, 'completed');
    assert.equal(await newest(run.thread_id), REPORTED);
  },

  'submitToolOutputsStream goes on with a run': async () => {
    const run = await waitingForWeather();
    const stream = threads.runs.submitToolOutputsStream(run.id, outputsFor(run));
    const told = heard(stream);
    let text = '';
    stream.on('textDelta', (delta) => (text += delta.value));
    const ended = await stream.finalRun();
    assert.equal(ended.id, run.id);
    assert.equal(ended.status, 'completed');
    assert.equal(text, REPORTED);
    assert.deepEqual(told.slice(-4), ['textDone', 'messageDone', 'runStepDone', 'end']);
  },

  'outputs are submitted from within a stream': async () => {
    const assistant = await assistantFor([GET_WEATHER]);
    const thread = await threads.create({ messages: user(WEATHER) });
    let text = '';
    for await (const { event, data } of threads.runs.stream(thread.id, {
      assistant_id: assistant.id,
    })) {
      if (event !== 'thread.run.requires_action') continue;
      const stream = threads.runs.submitToolOutputsStream(data.id, outputsFor(data));
      stream.on('textDelta', (delta) => (text += delta.value));
      await stream.done();
    }
    assert.equal(text, REPORTED);
  },

  'a run that is at work is cancelled': async () => {
    const assistant = await assistantFor();
    const thread_id = (await threads.create({ messages: user(ENDLESS) })).id;
    const stream = threads.runs.stream(thread_id, { assistant_id: assistant.id });
    await stream.emitted('textDelta');
    const { id } = stream.currentRun();
    const asked = await threads.runs.cancel(id, { thread_id });
    assert.ok(['cancelling', 'cancelled'].includes(asked.status), asked.status);
    assert.equal((await stream.finalRun()).status, 'cancelled');
    assert.equal((await threads.runs.poll(id, { thread_id })).status, 'cancelled');
    const { data } = await threads.messages.list(thread_id, { run_id: id });
    assert.equal(data[0].status, 'incomplete');
    assert.deepEqual(data[0].incomplete_details, { reason: 'run_cancelled' });
  },

  'a run that waits for outputs is cancelled': async () => {
    const { id, thread_id } = await waitingForWeather();
    await threads.runs.cancel(id, { thread_id });
    assert.equal((await threads.runs.poll(id, { thread_id })).status, 'cancelled');
    const [message] = user('Never mind.');
    await threads.messages.create(thread_id, message);
  },

  'the steps of a run are listed and retrieved': async () => {
    const run = await waitingForWeather();
    await threads.runs.submitToolOutputsAndPoll(run.id, outputsFor(run));
    const path = { thread_id: run.thread_id };
    const steps = [];
    const pages = threads.runs.steps.list(run.id, { ...path, limit: 1, order: 'asc' });
    for await (const step of pages) steps.push(step);
    assert.deepEqual(
      steps.map(({ type, status }) => [type, status]),
      [
        ['tool_calls', 'completed'],
        ['message_creation', 'completed'],
      ],
    );
    assert.equal(steps[0].step_details.tool_calls[0].function.output, DEGREES);
    for (const step of steps) {
      const again = await threads.runs.steps.retrieve(step.id, { ...path, run_id: run.id });
      assert.deepEqual(again, step);
    }
  },

  'runs are listed over several pages and updated': async () => {
    const assistant_id = (await assistantFor()).id;
    const thread_id = (await threads.create({ messages: user(ECHO) })).id;
    const made = [];
    for (let n = 0; n < 3; n++) {
      made.push((await threads.runs.createAndPoll(thread_id, { assistant_id })).id);
    }
    const { sizes, ids } = await readAll(threads.runs.list(thread_id, { limit: 1 }));
    assert.deepEqual(ids, reversed(made));
    const metadata = { kept: 'yes' };
    const changed = await threads.runs.update(made[0], { thread_id, metadata });
    assert.deepEqual(changed.metadata, metadata);
    assert.deepEqual(await threads.runs.retrieve(made[0], { thread_id }), changed);
    return { pages: sizes };
  },

  'what is missing is a NotFoundError': async () => {
    const thread_id = (await threads.create()).id;
    const due = { status: 404, type: 'invalid_request_error', param: null, code: null };
    const missing = [
      assistants.retrieve('asst_none'),
      threads.retrieve('thread_none'),
      threads.messages.retrieve('msg_none', { thread_id }),
      threads.runs.retrieve('run_none', { thread_id }),
      threads.runs.create(thread_id, { assistant_id: 'asst_none' }),
      threads.runs.steps.retrieve('step_none', { thread_id, run_id: 'run_none' }),
    ];
    // All at once, since a refusal that nobody awaits yet would end the process.
    for (const found of await refusals(missing, OpenAI.NotFoundError)) assert.deepEqual(found, due);
    const model = await refusal(client.models.retrieve('none'), OpenAI.NotFoundError);
    assert.equal(model.code, 'model_not_found');
  },

  'a stream that cannot begin is a NotFoundError': async () => {
    const thread = await threads.create();
    const stream = threads.runs.stream(thread.id, { assistant_id: 'asst_none' });
    await refusal(stream.finalRun(), OpenAI.NotFoundError);
  },

  'what cannot be done is a BadRequestError with param and code': async () => {
    const judge = { role: 'judge', content: 'Hi' };
    const refused = [
      [assistants.create({}), 'model', 'missing_required_parameter'],
      [assistants.create({ model: MODEL, colour: 1 }), 'colour', 'unknown_parameter'],
      [assistants.create({ model: MODEL, top_p: 9 }), 'top_p', 'decimal_above_max_value'],
      [assistants.list({ limit: 0 }), 'limit', 'integer_below_min_value'],
      [threads.create({ metadata: 'no' }), 'metadata', 'invalid_type'],
      [threads.create({ messages: [judge] }), 'messages[0].role', 'invalid_value'],
      [client.chat.completions.create({ model: MODEL }), 'messages', 'missing_required_parameter'],
    ];
    const found = await refusals(refused.map(([asked]) => asked), OpenAI.BadRequestError);
    const due = refused.map(([, param, code]) => {
      return { status: 400, type: 'invalid_request_error', param, code };
    });
    assert.deepEqual(found, due);
  },

  'outputs for a run that waits for none are a BadRequestError': async () => {
    const run = await waitingForWeather();
    const outputs = outputsFor(run);
    await threads.runs.submitToolOutputsAndPoll(run.id, outputs);
    await refusal(threads.runs.submitToolOutputs(run.id, outputs), OpenAI.BadRequestError);
  },

  'a wrong key is an AuthenticationError': async () => {
    const wrong = client.withOptions({ apiKey: 'sk-wrong-key-of-nobody' });
    const asked = [wrong.beta.threads.create(), wrong.models.list()];
    for (const found of await refusals(asked, OpenAI.AuthenticationError)) {
      assert.deepEqual([found.status, found.code], [401, 'invalid_api_key']);
    }
  },

  'the model is listed and retrieved': async () => {
    const ids = await listed(client.models.list());
    assert.deepEqual(ids, [MODEL]);
    const model = await client.models.retrieve(MODEL);
    assert.deepEqual([model.id, model.object], [MODEL, 'model']);
  },

  'a chat is answered': async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages: user(ECHO) });
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, MODEL);
    assert.equal(answer.choices[0].message.content, ECHOED);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.ok(answer.usage.total_tokens > 0);
    assert.ok(answer._request_id);
  },

  'a chat is streamed': async () => {
    const params = { model: MODEL, messages: user(ECHO), stream: true };
    const stream_options = { include_usage: true };
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ ...params, stream_options })) {
      chunks.push(chunk);
    }
    const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    assert.equal(text, ECHOED);
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.completion_tokens > 0);
    return { chunks: chunks.length };
  },

  'a chat stream tells its handlers': async () => {
    const stream = client.chat.completions.stream({ model: MODEL, messages: user(ECHO) });
    let text = '';
    stream.on('content', (delta, snapshot) => {
      text += delta;
      assert.equal(snapshot, text);
    });
    assert.equal(await stream.finalContent(), ECHOED);
    assert.equal(text, ECHOED);
  },

  'runTools answers by a function': async () => {
    const asked = [];
    const tool = {
      type: 'function',
      function: {
        ...GET_WEATHER.function,
        parse: JSON.parse,
        function: (city) => {
          asked.push(city);
          return DEGREES;
        },
      },
    };
    for (const stream of [false, true]) {
      const params = { model: MODEL, messages: user(WEATHER), tools: [tool], stream };
      assert.equal(await client.chat.completions.runTools(params).finalContent(), REPORTED);
    }
    assert.deepEqual(asked, [CITY, CITY]);
  },

  'texts are embedded, as base64 and as floats': async () => {
    const params = { model: MODEL, input: ['The capital of Zembla', 'Onhava'] };
    // The client asks for base64 where it is not told otherwise, and decodes it.
    const decoded = await client.embeddings.create(params);
    const floats = await client.embeddings.create({ ...params, encoding_format: 'float' });
    assert.deepEqual(decoded.data.map((each) => each.index), [0, 1]);
    decoded.data.forEach(({ embedding }, index) => {
      const other = floats.data[index].embedding;
      assert.equal(embedding.length, other.length);
      assert.ok(embedding.every((value, at) => Math.abs(value - other[at]) < 1e-6));
      assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
    });
    assert.notDeepEqual(floats.data[0].embedding, floats.data[1].embedding);
    return { dimensions: floats.data[0].embedding.length };
  },
};

function limit() {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${CHECK_MS} ms`)), CHECK_MS);
  });
  return { over, clear: () => clearTimeout(timer) };
}

for (const [name, check] of Object.entries(CHECKS)) {
  const { over, clear } = limit();
  try {
    const detail = (await Promise.race([check(), over])) ?? null;
    console.log(JSON.stringify({ name, ok: true, detail }));
  } catch (error) {
    console.log(JSON.stringify({ name, ok: false, detail: error.stack ?? String(error) }));
  } finally {
    clear();
  }
}
// What a failed check left open would keep the process alive. The lines say what failed; another
// status than this one, that it was cut short.
process.exit(0);
