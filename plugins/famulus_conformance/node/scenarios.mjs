// The table of scenarios by the official client for Node, which reads OPENAI_BASE_URL and
// OPENAI_API_KEY. On its input stands a JSON object: `model`, `said` and the names of `scenarios`;
// for each of these one line of JSON is printed: {"name", "ok", "detail"}. With --names, all that it
// can play are printed as one list.
import assert from 'node:assert/strict';
import { createReadStream, readFileSync } from 'node:fs';
import OpenAI, { toFile } from 'openai';

const NAMES_ONLY = process.argv.includes('--names');
const TABLE = NAMES_ONLY ? { model: {}, said: {} } : JSON.parse(readFileSync(0, 'utf8'));
const { model } = TABLE;
const MODEL = model.id;
const { ECHO, GREETING, NAME, NAME_AGAIN, CAPITAL, CONTEXT, DEGREES, GET_WEATHER } = TABLE.said;
const { WEATHER, CITY, WEATHER_TWICE, CITIES } = TABLE.said;
const SCENARIO_MS = 60_000;
const LENGTHY_WORDS = 90;
const LOOK_MS = 20;
const DAY_S = 86_400;
const VACATION = 'Employees have thirty days of paid vacation every year.';
const LUNCH = 'The canteen serves lunch from noon until two.';
const BATCH_FILES = 16;
const QUICKLY = { pollIntervalMs: LOOK_MS };

// A repeated request could hide an answer that should not have been given.
const client = new OpenAI({ maxRetries: 0, timeout: SCENARIO_MS });
const { assistants, threads } = client.beta;

const user = (content) => [{ role: 'user', content }];
const reversed = (items) => [...items].reverse();
const textOf = (message) => message.content.map((part) => part.text.value).join('');

const assistantFor = (tools = [], fields = {}) =>
  assistants.create({ model: MODEL, temperature: 0, tools, ...fields });

// What the model is known to say to this.
function isRight(asked, text) {
  const whole = new RegExp(`^(?:${model.answers[asked]})$`, 's');
  assert.match(text ?? '', whole, `${JSON.stringify(text)} is no answer to ${asked}`);
}

// Some models write the arguments of a call otherwise than they were asked for.
function areArguments(found, due) {
  if (model.arguments_vary) assert.deepEqual(Object.keys(found), Object.keys(due));
  else assert.deepEqual(found, due);
}

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

async function waitingForWeather(asked = WEATHER) {
  const assistant = await assistantFor([GET_WEATHER]);
  const thread = { messages: user(asked) };
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

// A run that has begun an answer without end.
async function atWork() {
  const assistant_id = (await assistantFor()).id;
  const thread_id = (await threads.create({ messages: user(model.endless) })).id;
  const run = await threads.runs.create(thread_id, { assistant_id, ...model.endless_arguments });
  while (!(await threads.messages.list(thread_id, { run_id: run.id })).data.length) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  return run;
}

async function refusal(asked, Class) {
  const error = await asked.then(
    () => assert.fail(`answered, though a ${Class.name} was due`),
    (error) => error,
  );
  assert.ok(error instanceof Class, `${error.constructor.name} is no ${Class.name}: ${error}`);
  assert.ok(error.requestID);
  const { status, type, param, code, message } = error;
  return { status, type, param, code, message };
}

const refusals = (asked, Class) => Promise.all(asked.map((each) => refusal(each, Class)));

const SCENARIOS = {
  'an assistant is created, retrieved, updated and deleted': async () => {
    const given = {
      name: 'Guide',
      description: 'Knows the way.',
      instructions: 'Be brief.',
      metadata: { team: 'north' },
      temperature: 0.5,
      top_p: 0.9,
      response_format: 'auto',
    };
    const made = await assistants.create({ model: MODEL, tools: [GET_WEATHER], ...given });
    assert.deepEqual([made.object, made.model], ['assistant', MODEL]);
    const { [0]: tool, length } = made.tools;
    assert.deepEqual([tool.function.name, length], ['get_weather', 1]);
    for (const [name, value] of Object.entries(given)) assert.deepEqual(made[name], value, name);
    assert.deepEqual(await assistants.retrieve(made.id), made);
    const changed = await assistants.update(made.id, { name: 'Old guide' });
    assert.deepEqual(changed, { ...made, name: 'Old guide' });
    const gone = await assistants.delete(made.id);
    assert.deepEqual(gone, { id: made.id, object: 'assistant.deleted', deleted: true });
    await refusal(assistants.retrieve(made.id), OpenAI.NotFoundError);
    assert.ok(!(await listed(assistants.list())).includes(made.id));
  },

  'assistants are listed over several pages': async () => {
    const made = [];
    for (let n = 0; n < 5; n++) made.push((await assistantFor()).id);
    const ids = await listed(assistants.list({ limit: 2 }));
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(ids.slice(0, 5), reversed(made));
    return { listed: ids.length };
  },

  'a list goes on after and before an object': async () => {
    const made = [];
    for (let n = 0; n < 5; n++) made.push((await assistantFor()).id);
    const page = async (params) =>
      (await assistants.list({ limit: 2, ...params })).data.map((each) => each.id);
    assert.deepEqual(await page({ order: 'asc', after: made[1] }), made.slice(2, 4));
    assert.deepEqual(await page({ order: 'asc', before: made[2] }), made.slice(0, 2));
    assert.deepEqual(await page({ after: made[3] }), [made[2], made[1]]);
  },

  'a thread is created, retrieved, updated and deleted': async () => {
    const made = await threads.create({ messages: user('Hi'), metadata: { a: 'b' } });
    assert.deepEqual(await threads.retrieve(made.id), made);
    const changed = await threads.update(made.id, { metadata: { c: 'd' } });
    assert.deepEqual(changed, { ...made, metadata: { c: 'd' } });
    const gone = await threads.delete(made.id);
    assert.deepEqual(gone, { id: made.id, object: 'thread.deleted', deleted: true });
    await refusal(threads.retrieve(made.id), OpenAI.NotFoundError);
    await refusal(threads.messages.list(made.id), OpenAI.NotFoundError);
  },

  'a thread is created from no arguments': async () => {
    const thread = await threads.create();
    assert.deepEqual((await threads.messages.list(thread.id)).data, []);
  },

  'a thread holds the messages that it was made with': async () => {
    const content = [{ type: 'text', text: 'Three' }];
    const messages = [...user('One'), { role: 'assistant', content: 'Two' }, ...user(content)];
    const thread = await threads.create({ messages, metadata: { a: 'b' } });
    assert.deepEqual(await threads.retrieve(thread.id), thread);
    const { data } = await threads.messages.list(thread.id, { order: 'asc' });
    assert.deepEqual(
      data.map((each) => [each.role, textOf(each), each.thread_id]),
      [
        ['user', 'One', thread.id],
        ['assistant', 'Two', thread.id],
        ['user', 'Three', thread.id],
      ],
    );
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
    const gone = await threads.messages.delete(made.id, { thread_id });
    assert.deepEqual(gone, { id: made.id, object: 'thread.message.deleted', deleted: true });
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

  'create_and_poll gives the right answer': async () => {
    const assistant = await assistantFor();
    const thread = await threads.create({ messages: user(ECHO) });
    const run = await threads.runs.createAndPoll(thread.id, { assistant_id: assistant.id });
    assert.equal(run.status, 'completed');
    isRight(ECHO, await newest(thread.id));
    const { prompt_tokens, completion_tokens, total_tokens } = run.usage;
    assert.ok(prompt_tokens > 0 && completion_tokens > 0);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
  },

  'create_and_run_poll gives the right answer': async () => {
    const assistant = await assistantFor();
    for (const asked of [ECHO, GREETING]) {
      const thread = { messages: user(asked) };
      const run = await threads.createAndRunPoll({ assistant_id: assistant.id, thread });
      assert.equal(run.status, 'completed');
      isRight(asked, await newest(run.thread_id));
    }
  },

  'instructions reach the model': async () => {
    const assistant = await assistantFor([], { instructions: CONTEXT });
    const thread = { messages: user(CAPITAL) };
    const run = await threads.createAndRunPoll({ assistant_id: assistant.id, thread });
    isRight(CAPITAL, await newest(run.thread_id));
  },

  'a run may have instructions and messages of its own': async () => {
    const assistant_id = (await assistantFor([], { instructions: 'You know nothing.' })).id;
    const thread_id = (await threads.create()).id;
    const own = { instructions: CONTEXT, additional_messages: user(CAPITAL) };
    const run = await threads.runs.createAndPoll(thread_id, { assistant_id, ...own });
    assert.equal(run.instructions, CONTEXT);
    isRight(CAPITAL, await newest(thread_id));
  },

  'a thread remembers what was said in it': async () => {
    const assistant_id = (await assistantFor()).id;
    const thread_id = (await threads.create()).id;
    for (const said of [NAME, NAME_AGAIN]) {
      const [message] = user(said);
      await threads.messages.create(thread_id, message);
      const run = await threads.runs.createAndPoll(thread_id, { assistant_id });
      assert.equal(run.status, 'completed');
      isRight(said, await newest(thread_id));
    }
  },

  'a stream tells its handlers everything in order': async () => {
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
    isRight(ECHO, text);
    assert.equal(whole, text);
    assert.deepEqual(
      events.slice(0, 3),
      ['thread.run.created', 'thread.run.queued', 'thread.run.in_progress'],
    );
    assert.equal(events.at(-1), 'thread.run.completed');
    assert.deepEqual(await threads.runs.retrieve(run.id, { thread_id: thread.id }), run);
    const [step] = await stream.finalRunSteps();
    const [message] = await stream.finalMessages();
    assert.equal(step.step_details.message_creation.message_id, message.id);
    assert.equal(textOf(message), text);
    return { deltas };
  },

  'a thread is created and run in one stream': async () => {
    const assistant = await assistantFor();
    const thread = { messages: user(ECHO) };
    const stream = threads.createAndRunStream({ assistant_id: assistant.id, thread });
    let text = '';
    stream.on('textDelta', (delta) => (text += delta.value));
    assert.equal((await stream.finalRun()).status, 'completed');
    isRight(ECHO, text);
  },

  'a stream is told to its end, however long the answer': async () => {
    const assistant_id = (await assistantFor()).id;
    const thread_id = (await threads.create({ messages: user(model.lengthy) })).id;
    const params = { assistant_id, ...model.lengthy_arguments };
    const stream = threads.runs.stream(thread_id, params);
    let text = '';
    stream.on('textDelta', (delta) => (text += delta.value));
    const run = await stream.finalRun();
    // A model that writes until its context is full has not completed its answer.
    assert.ok(['completed', 'incomplete'].includes(run.status), run.status);
    const { data } = await threads.messages.list(thread_id, { run_id: run.id });
    assert.equal(textOf(data[0]), text);
    assert.ok(text.split(/\s+/).length > LENGTHY_WORDS);
  },

  'the events of a stream are iterated without a helper': async () => {
    const assistant = await assistantFor();
    const thread = await threads.create({ messages: user(ECHO) });
    const params = { assistant_id: assistant.id, stream: true };
    const names = [];
    let text = '';
    for await (const { event, data } of await threads.runs.create(thread.id, params)) {
      names.push(event);
      if (event === 'thread.message.delta') text += textOf(data.delta);
    }
    isRight(ECHO, text);
    assert.equal(names.at(-1), 'thread.run.completed');
  },

  'what a stream ends with is what is stored': async () => {
    const assistant = await assistantFor();
    const thread = await threads.create({ messages: user(ECHO) });
    const params = { assistant_id: assistant.id, stream: true };
    const ends = {};
    for await (const { event, data } of await threads.runs.create(thread.id, params)) {
      ends[event] = data;
    }
    const run = ends['thread.run.completed'];
    const path = { thread_id: thread.id };
    assert.deepEqual(await threads.runs.retrieve(run.id, path), run);
    const { data } = await threads.runs.steps.list(run.id, path);
    assert.deepEqual(data, [ends['thread.run.step.completed']]);
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
    areArguments(JSON.parse(text), CITY);
    const [call] = callsOf(run);
    assert.equal(whole.id, call.id);
    assert.equal(whole.function.arguments, call.function.arguments);
    return { deltas: told.filter((name) => name === 'toolCallDelta').length };
  },

  'a function is asked for and its output is used': async () => {
    const run = await waitingForWeather();
    const [call] = callsOf(run);
    assert.equal(call.function.name, 'get_weather');
    areArguments(JSON.parse(call.function.arguments), CITY);
    const ended = await threads.runs.submitToolOutputsAndPoll(run.id, outputsFor(run));
    assert.equal(ended.status, 'completed');
    isRight(DEGREES, await newest(run.thread_id));
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

  'two functions are asked for at once': async () => {
    const run = await waitingForWeather(WEATHER_TWICE);
    const found = callsOf(run).map((call) => JSON.parse(call.function.arguments));
    assert.deepEqual(found, CITIES);
    const ended = await threads.runs.submitToolOutputsAndPoll(run.id, outputsFor(run));
    assert.equal(ended.status, 'completed');
  },

  'outputs are submitted into a stream': async () => {
    const run = await waitingForWeather();
    const stream = threads.runs.submitToolOutputsStream(run.id, outputsFor(run));
    const told = heard(stream);
    let text = '';
    stream.on('textDelta', (delta) => (text += delta.value));
    const ended = await stream.finalRun();
    assert.equal(ended.id, run.id);
    assert.equal(ended.status, 'completed');
    isRight(DEGREES, text);
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
    isRight(DEGREES, text);
  },

  'a run that is at work is cancelled': async () => {
    const assistant = await assistantFor();
    const thread_id = (await threads.create({ messages: user(model.endless) })).id;
    const params = { assistant_id: assistant.id, ...model.endless_arguments };
    const stream = threads.runs.stream(thread_id, params);
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

  'a thread whose run is at work takes no other run and no message': async () => {
    const { id, thread_id, assistant_id } = await atWork();
    const [message] = user('And?');
    for (const ask of [
      () => threads.runs.create(thread_id, { assistant_id }),
      () => threads.messages.create(thread_id, message),
    ]) {
      const error = await ask().then(
        () => assert.fail('answered'),
        (error) => error,
      );
      assert.ok(error instanceof OpenAI.BadRequestError, String(error));
      assert.ok(error.message.includes(id), error.message);
    }
    await threads.runs.cancel(id, { thread_id });
    await threads.runs.poll(id, { thread_id });
    await threads.messages.create(thread_id, message);
  },

  'a run that waits for outputs is cancelled': async () => {
    const { id, thread_id } = await waitingForWeather();
    await threads.runs.cancel(id, { thread_id });
    assert.equal((await threads.runs.poll(id, { thread_id })).status, 'cancelled');
    const [message] = user('Never mind.');
    await threads.messages.create(thread_id, message);
  },

  'the steps of a run are listed and retrieved': async () => {
    const assistant = await assistantFor();
    const thread = { messages: user(ECHO) };
    const run = await threads.createAndRunPoll({ assistant_id: assistant.id, thread });
    const path = { thread_id: run.thread_id };
    const [step, ...others] = (await threads.runs.steps.list(run.id, path)).data;
    assert.deepEqual(others, []);
    assert.deepEqual([step.type, step.status], ['message_creation', 'completed']);
    const { data } = await threads.messages.list(run.thread_id, { run_id: run.id });
    assert.equal(step.step_details.message_creation.message_id, data[0].id);
    const again = await threads.runs.steps.retrieve(step.id, { ...path, run_id: run.id });
    assert.deepEqual(again, step);
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
      threads.messages.list('thread_none'),
    ];
    // All at once, since a refusal that nobody awaits yet would end the process.
    for (const { message, ...found } of await refusals(missing, OpenAI.NotFoundError)) {
      assert.deepEqual(found, due);
      assert.ok(message.includes('none'), message);
    }
    const models = [
      client.models.retrieve('none'),
      client.chat.completions.create({ model: 'none', messages: user('Hi') }),
    ];
    for (const found of await refusals(models, OpenAI.NotFoundError)) {
      assert.deepEqual([found.type, found.code], [due.type, 'model_not_found']);
    }
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
      [
        assistants.create({ model: MODEL, temperature: 9 }),
        'temperature',
        'decimal_above_max_value',
      ],
      [assistants.list({ limit: 0 }), 'limit', 'integer_below_min_value'],
      [threads.create({ metadata: 'no' }), 'metadata', 'invalid_type'],
      [threads.create({ messages: [judge] }), 'messages[0].role', 'invalid_value'],
      [assistants.list({ after: 'asst_none' }), 'after', null],
      [client.chat.completions.create({ model: MODEL }), 'messages', 'missing_required_parameter'],
    ];
    const found = await refusals(refused.map(([asked]) => asked), OpenAI.BadRequestError);
    const due = refused.map(([, param, code]) => {
      return { status: 400, type: 'invalid_request_error', param, code };
    });
    assert.deepEqual(
      found.map(({ message, ...told }) => told),
      due,
    );
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
      assert.ok(!found.message.includes('wrong-key-of'), found.message);
    }
  },

  'a key is asked for before anything is said to be missing': async () => {
    const wrong = client.withOptions({ apiKey: 'sk-wrong-key-of-nobody' });
    await refusal(wrong.beta.assistants.retrieve('asst_none'), OpenAI.AuthenticationError);
  },

  'the model is listed and retrieved': async () => {
    const ids = await listed(client.models.list());
    assert.ok(ids.includes(MODEL), `${ids}`);
    assert.equal(new Set(ids).size, ids.length);
    const found = await client.models.retrieve(MODEL);
    assert.deepEqual([found.id, found.object], [MODEL, 'model']);
  },

  'a chat is answered': async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages: user(ECHO) });
    assert.equal(answer.object, 'chat.completion');
    assert.equal(answer.model, MODEL);
    isRight(ECHO, answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    const { prompt_tokens, completion_tokens, total_tokens } = answer.usage;
    assert.ok(total_tokens > 0);
    assert.equal(total_tokens, prompt_tokens + completion_tokens);
    assert.ok(answer._request_id);
  },

  'a chat is streamed': async () => {
    const params = { model: MODEL, messages: user(ECHO), stream: true };
    const stream_options = { include_usage: true };
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ ...params, stream_options })) {
      chunks.push(chunk);
    }
    const said = (each) => each.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    isRight(ECHO, said(chunks));
    assert.deepEqual(
      chunks.slice(0, -1).filter((chunk) => chunk.usage),
      [],
    );
    assert.equal(chunks.at(-2).choices[0].finish_reason, 'stop');
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.completion_tokens > 0);
    const without = [];
    for await (const chunk of await client.chat.completions.create(params)) without.push(chunk);
    isRight(ECHO, said(without));
    assert.equal(without.at(-1).choices[0].finish_reason, 'stop');
    assert.deepEqual(new Set(without.map((chunk) => chunk.model)), new Set([MODEL]));
    assert.deepEqual(
      without.filter((chunk) => chunk.usage),
      [],
    );
    return { chunks: chunks.length };
  },

  'a chat stream tells its handlers': async () => {
    const stream = client.chat.completions.stream({ model: MODEL, messages: user(ECHO) });
    let text = '';
    stream.on('content', (delta, snapshot) => {
      text += delta;
      assert.equal(snapshot, text);
    });
    const whole = await stream.finalContent();
    isRight(ECHO, whole);
    assert.equal(text, whole);
  },

  'a chat calls a function and uses its result': async () => {
    const params = { model: MODEL, tools: [GET_WEATHER] };
    const messages = user(WEATHER);
    const [choice] = (await client.chat.completions.create({ ...params, messages })).choices;
    assert.equal(choice.finish_reason, 'tool_calls');
    const [call] = choice.message.tool_calls;
    assert.equal(call.function.name, 'get_weather');
    areArguments(JSON.parse(call.function.arguments), CITY);
    messages.push(choice.message, { role: 'tool', tool_call_id: call.id, content: DEGREES });
    const answer = await client.chat.completions.create({ ...params, messages });
    isRight(DEGREES, answer.choices[0].message.content);
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
      isRight(DEGREES, await client.chat.completions.runTools(params).finalContent());
    }
    assert.equal(asked.length, 2);
    for (const found of asked) areArguments(found, CITY);
  },

  'a streamed chat calls a function': async () => {
    const params = { model: MODEL, messages: user(WEATHER), tools: [GET_WEATHER] };
    const [choice] = (await client.chat.completions.stream(params).finalChatCompletion()).choices;
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.tool_calls.length, 1);
    areArguments(JSON.parse(choice.message.tool_calls[0].function.arguments), CITY);
  },

  'a completion is given and streamed': async () => {
    const params = { model: MODEL, prompt: ECHO, max_tokens: 20, temperature: 0, seed: 1 };
    const whole = await client.completions.create(params);
    assert.deepEqual([whole.object, whole.model], ['text_completion', MODEL]);
    const chunks = [];
    for await (const chunk of await client.completions.create({ ...params, stream: true })) {
      chunks.push(chunk);
    }
    assert.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), whole.choices[0].text);
    assert.equal(chunks.at(-1).choices[0].finish_reason, whole.choices[0].finish_reason);
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

  'a file is created, retrieved, downloaded and deleted': async () => {
    const file = await toFile(Buffer.from('hello'), 'größe.txt');
    const expires_after = { anchor: 'created_at', seconds: 3600 };
    const made = await client.files.create({ file, purpose: 'assistants', expires_after });
    assert.equal(made.filename, 'größe.txt');
    assert.equal(made.expires_at, made.created_at + 3600);
    assert.deepEqual(await client.files.retrieve(made.id), made);
    assert.deepEqual(await client.files.waitForProcessing(made.id), made);
    assert.equal(await (await client.files.content(made.id)).text(), 'hello');
    const gone = await client.files.delete(made.id);
    assert.deepEqual(gone, { id: made.id, object: 'file', deleted: true });
    await refusal(client.files.retrieve(made.id), OpenAI.NotFoundError);
  },

  'a file is streamed from the disk': async () => {
    const file = createReadStream(new URL(import.meta.url));
    const made = await client.files.create({ file, purpose: 'user_data' });
    assert.equal(made.filename, 'scenarios.mjs');
    const content = await (await client.files.content(made.id)).text();
    assert.equal(content, readFileSync(new URL(import.meta.url), 'utf8'));
  },

  'files are listed over several pages': async () => {
    const made = [];
    for (const name of ['a', 'b', 'c']) {
      const file = await toFile(Buffer.from(name), name);
      made.push((await client.files.create({ file, purpose: 'vision' })).id);
    }
    const { sizes, ids } = await readAll(client.files.list({ purpose: 'vision', limit: 2 }));
    assert.ok(sizes.slice(0, -1).every((size) => size === 2));
    assert.deepEqual(ids.slice(0, 3), reversed(made));
  },

  'an upload is completed from its parts, and another cancelled': async () => {
    const params = { filename: 'a.txt', purpose: 'assistants', mime_type: 'text/plain', bytes: 11 };
    const upload = await client.uploads.create(params);
    const part_ids = [];
    for (const text of ['hello ', 'world']) {
      const data = await toFile(Buffer.from(text), 'part');
      part_ids.push((await client.uploads.parts.create(upload.id, { data })).id);
    }
    const done = await client.uploads.complete(upload.id, { part_ids });
    assert.equal(done.status, 'completed');
    assert.equal(await (await client.files.content(done.file.id)).text(), 'hello world');
    const other = await client.uploads.create(params);
    assert.equal((await client.uploads.cancel(other.id)).status, 'cancelled');
    await refusal(client.uploads.complete(other.id, { part_ids }), OpenAI.BadRequestError);
  },

  'a container is created, retrieved, listed and deleted': async () => {
    const expires_after = { anchor: 'last_active_at', minutes: 5 };
    const params = { name: 'größe', expires_after, memory_limit: '4g' };
    const made = await client.containers.create(params);
    assert.equal(made.object, 'container');
    assert.equal(made.status, 'running');
    assert.equal(made.name, 'größe');
    assert.deepEqual(made.expires_after, expires_after);
    assert.equal(made.memory_limit, '4g');
    assert.equal((await client.containers.retrieve(made.id)).id, made.id);
    const others = [];
    for (let count = 0; count < 2; count += 1) {
      others.push((await client.containers.create({ name: 'größe' })).id);
    }
    const { sizes, ids } = await readAll(client.containers.list({ name: 'größe', limit: 2 }));
    assert.ok(sizes.slice(0, -1).every((size) => size === 2));
    assert.deepEqual(ids.slice(0, 3), [...reversed(others), made.id]);
    await client.containers.delete(made.id);
    await refusal(client.containers.retrieve(made.id), OpenAI.NotFoundError);
  },

  'files come into a container, are downloaded and deleted': async () => {
    const kept = await client.files.create({
      file: await toFile(Buffer.from('kept'), 'kept.txt'),
      purpose: 'assistants',
    });
    const container = await client.containers.create({ name: 'c', file_ids: [kept.id] });
    const of = { container_id: container.id };
    const { files } = client.containers;
    const file = await toFile(Buffer.from('sent'), 'größe.txt');
    const sent = await files.create(container.id, { file });
    const copied = await files.create(container.id, { file_id: kept.id });
    assert.equal(sent.object, 'container.file');
    assert.equal(sent.container_id, container.id);
    assert.equal(sent.bytes, 4);
    assert.equal(sent.source, 'user');
    await client.files.delete(kept.id);
    const paths = [];
    for await (const each of files.list(container.id, { order: 'asc', limit: 2 })) {
      paths.push(each.path);
    }
    const due = ['kept.txt', 'größe.txt', 'kept_2.txt'].map((name) => `/mnt/data/${name}`);
    assert.deepEqual(paths, due);
    assert.deepEqual(await files.retrieve(sent.id, of), sent);
    for (const [each, text] of [[sent, 'sent'], [copied, 'kept']]) {
      assert.equal(await (await files.content.retrieve(each.id, of)).text(), text);
    }
    await files.delete(sent.id, of);
    await refusal(files.content.retrieve(sent.id, of), OpenAI.NotFoundError);
  },

  'a vector store is created, retrieved, updated, listed and deleted': async () => {
    const stores = client.vectorStores;
    const made = await stores.create({
      name: 'handbook',
      metadata: { a: 'b' },
      expires_after: { anchor: 'last_active_at', days: 7 },
    });
    assert.equal(made.name, 'handbook');
    assert.deepEqual(made.metadata, { a: 'b' });
    assert.equal(made.expires_at, made.last_active_at + 7 * DAY_S);
    assert.deepEqual(await stores.retrieve(made.id), made);
    const changed = await stores.update(made.id, { name: 'notes', expires_after: null });
    assert.equal(changed.name, 'notes');
    assert.deepEqual(changed.metadata, { a: 'b' });
    const others = [(await stores.create({})).id, (await stores.create({})).id];
    const { ids } = await readAll(stores.list({ limit: 2 }));
    assert.deepEqual(ids.slice(0, 3), [...reversed(others), made.id]);
    const gone = await stores.delete(made.id);
    assert.deepEqual(gone, { id: made.id, object: 'vector_store.deleted', deleted: true });
    await refusal(stores.retrieve(made.id), OpenAI.NotFoundError);
  },

  'a file is uploaded into a vector store, searched for, described and taken out': async () => {
    const stores = client.vectorStores;
    const vector_store_id = (await stores.create({})).id;
    const upload = await toFile(Buffer.from(VACATION), 'vacation.txt');
    const file = await stores.files.uploadAndPoll(vector_store_id, upload, QUICKLY);
    assert.equal(file.status, 'completed');
    const data = await toFile(Buffer.from(LUNCH), 'lunch.txt');
    const other = await client.files.create({ file: data, purpose: 'assistants' });
    const added = await stores.files.createAndPoll(
      vector_store_id,
      { file_id: other.id, attributes: { topic: 'lunch', year: 2024 } },
      QUICKLY,
    );
    assert.deepEqual(added.attributes, { topic: 'lunch', year: 2024 });
    const query = 'days of paid vacation';
    const found = (await stores.search(vector_store_id, { query, max_num_results: 2 })).data;
    assert.equal(found[0].file_id, file.id);
    assert.equal(found[0].filename, 'vacation.txt');
    assert.equal(found[0].content[0].text, VACATION);
    assert.ok(found[0].score > 0 && found[0].score <= 1);
    const attributes = { topic: 'leave' };
    const changed = await stores.files.update(file.id, { vector_store_id, attributes });
    assert.deepEqual(changed.attributes, attributes);
    const chosen = await stores.search(vector_store_id, {
      query: ['vacation', 'lunch'],
      rewrite_query: true,
      filters: { type: 'and', filters: [{ type: 'eq', key: 'topic', value: 'leave' }] },
      ranking_options: { ranker: 'auto', score_threshold: 0 },
    });
    assert.deepEqual([...new Set(chosen.data.map((each) => each.file_id))], [file.id]);
    const content = await stores.files.content(file.id, { vector_store_id });
    assert.equal(content.data.map((each) => each.text).join(''), VACATION);
    const listed = await stores.files.list(vector_store_id, { filter: 'completed', order: 'asc' });
    assert.deepEqual(
      listed.data.map((each) => each.id),
      [file.id, other.id],
    );
    const gone = await stores.files.delete(file.id, { vector_store_id });
    assert.deepEqual(gone, { id: file.id, object: 'vector_store.file.deleted', deleted: true });
    await refusal(stores.files.retrieve(file.id, { vector_store_id }), OpenAI.NotFoundError);
    await client.files.delete(other.id);
    assert.equal((await stores.retrieve(vector_store_id)).file_counts.total, 0);
  },

  'a batch of files is uploaded into a vector store': async () => {
    const stores = client.vectorStores;
    const vector_store_id = (await stores.create({})).id;
    const files = [
      await toFile(Buffer.from(VACATION), 'vacation.txt'),
      await toFile(Buffer.from(LUNCH), 'lunch.txt'),
    ];
    const batch = await stores.fileBatches.uploadAndPoll(vector_store_id, { files }, QUICKLY);
    assert.equal(batch.status, 'completed');
    assert.equal(batch.file_counts.completed, 2);
    assert.deepEqual(await stores.fileBatches.retrieve(batch.id, { vector_store_id }), batch);
    const listed = await stores.fileBatches.listFiles(batch.id, { vector_store_id });
    const file_ids = listed.data.map((each) => each.id);
    assert.equal(file_ids.length, 2);
    const again = await stores.fileBatches.createAndPoll(vector_store_id, { file_ids }, QUICKLY);
    assert.equal(again.file_counts.completed, 2);
    assert.equal((await stores.retrieve(vector_store_id)).file_counts.completed, 2);
  },

  'a batch of files is cancelled': async () => {
    const stores = client.vectorStores;
    const vector_store_id = (await stores.create({})).id;
    const text = `${VACATION} ${LUNCH} `.repeat(200);
    const file_ids = [];
    for (let number = 0; number < BATCH_FILES; number += 1) {
      const file = await toFile(Buffer.from(text), `${number}.txt`);
      file_ids.push((await client.files.create({ file, purpose: 'assistants' })).id);
    }
    const batch = await stores.fileBatches.create(vector_store_id, { file_ids });
    const done = await stores.fileBatches.cancel(batch.id, { vector_store_id });
    assert.equal(done.id, batch.id);
    assert.equal(done.status, 'cancelled');
    const { in_progress, completed, cancelled, failed } = done.file_counts;
    assert.equal(in_progress, 0);
    assert.equal(completed + cancelled + failed, BATCH_FILES);
  },
};

function limit() {
  let timer;
  const over = new Promise((_, reject) => {
    const late = new Error(`not done in ${SCENARIO_MS} ms`);
    timer = setTimeout(() => reject(late), SCENARIO_MS);
  });
  return { over, clear: () => clearTimeout(timer) };
}

async function played(name) {
  if (!(name in SCENARIOS)) return { ok: false, detail: 'this client has no such scenario' };
  const { over, clear } = limit();
  try {
    const detail = (await Promise.race([SCENARIOS[name](), over])) ?? null;
    return { ok: true, detail };
  } catch (error) {
    return { ok: false, detail: error.stack ?? String(error) };
  } finally {
    clear();
  }
}

if (NAMES_ONLY) {
  console.log(JSON.stringify(Object.keys(SCENARIOS)));
} else {
  for (const name of TABLE.scenarios) {
    console.log(JSON.stringify({ name, ...(await played(name)) }));
  }
}
// What a failed scenario left open would keep the process alive. The lines say what failed; another
// status than this one, that it was cut short.
process.exit(0);
