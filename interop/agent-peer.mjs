// A real Mastra instance with durable agents, driven over standard input and output as peer.mjs is. See README.md.
import { Agent } from '@mastra/core/agent';
import { createDurableAgent } from '@mastra/core/agent/durable';
import { Mastra } from '@mastra/core/mastra';
import { InMemoryStore } from '@mastra/core/storage';
import { createTool } from '@mastra/core/tools';
import { z } from 'zod';
import { openBus } from './lib/bus.mjs';
import { messageOf, serve } from './lib/channel.mjs';

const [address, optionsText = '{}'] = process.argv.slice(2);
const { bus: pubsub, close } = await openBus(address, JSON.parse(optionsText));

/** What every model waits for in the middle of an answer. */
let opened;
const gate = new Promise(resolve => (opened = resolve));
const usage = { inputTokens: 3, outputTokens: 5, totalTokens: 8 };

/** Rejects when the call is stopped. */
function stopped(signal) {
  return new Promise((_, reject) => {
    const stop = () => reject(new DOMException('the call was stopped', 'AbortError'));
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop);
  });
}

/** The parts of a text: the first three words, the gate, the rest. */
async function* tell(words, signal) {
  yield { type: 'text-start', id: 't' };
  for (const [place, word] of words.entries()) {
    if (place === 3) await Promise.race([gate, stopped(signal)]);
    yield { type: 'text-delta', id: 't', delta: word };
  }
  yield { type: 'text-end', id: 't' };
  yield { type: 'finish', finishReason: 'stop', usage };
}

async function* ask() {
  yield { type: 'tool-call', toolCallId: 'call-1', toolName: 'danger', input: '{"x":1}' };
  yield { type: 'finish', finishReason: 'tool-calls', usage };
}

function model(script) {
  async function* parts(options) {
    yield { type: 'stream-start', warnings: [] };
    yield { type: 'response-metadata', id: 'id-0', modelId: 'mock', timestamp: new Date(0) };
    yield* script(options);
  }
  const pull = source => async controller => {
    try {
      const { value, done } = await source.next();
      if (done) controller.close();
      else controller.enqueue(value);
    } catch (error) {
      controller.error(error);
    }
  };
  return {
    specificationVersion: 'v2',
    provider: 'mock',
    modelId: 'mock',
    supportedUrls: {},
    doGenerate: async () => Promise.reject(new Error('it only streams')),
    doStream: async options => ({ stream: new ReadableStream({ pull: pull(parts(options)) }), rawCall: { rawPrompt: null, rawSettings: {} }, warnings: [] }),
  };
}

const danger = createTool({
  id: 'danger',
  description: 'does something that somebody has to approve',
  inputSchema: z.object({ x: z.number() }),
  requireApproval: true,
  execute: async () => ({ done: true }),
});

/** The agents by their ids: one tells a text, one asks before it does. */
const scripts = {
  teller: { model: model(({ abortSignal }) => tell(['one ', 'two ', 'three ', 'four ', 'five'], abortSignal)) },
  asker: {
    tools: { danger },
    model: model(({ prompt, abortSignal }) => (prompt.some(({ role }) => role === 'tool') ? tell(['it ', 'is ', 'done'], abortSignal) : ask())),
  },
};

function durable(id) {
  const agent = new Agent({ id, name: id, instructions: 'x', ...scripts[id] });
  return createDurableAgent({ agent, pubsub });
}

const agents = Object.fromEntries(Object.keys(scripts).map(id => [id, durable(id)]));
const mastra = new Mastra({ agents, storage: new InMemoryStore(), pubsub, logger: false });

/** Readers by the label under which they were begun. */
const readers = new Map();

class Reader {
  types = [];
  text = '';
  suspended = [];
  state = 'open';

  onSuspended = ({ toolCallId, toolName, type }) => void this.suspended.push({ toolCallId, toolName, type });

  read(run) {
    this.run = run;
    this.end = this.#drain(run.fullStream);
  }

  async #drain(stream) {
    try {
      for await (const chunk of stream) {
        this.types.push(chunk.type);
        if (chunk.type === 'text-delta') this.text += chunk.payload.text;
        if (chunk.type === 'finish') this.reason = chunk.payload.stepResult.reason;
      }
      this.state = 'ended';
    } catch (error) {
      this.state = messageOf(error);
    }
  }
}

function begin(label) {
  const reader = new Reader();
  readers.set(label, reader);
  return reader;
}

async function start({ agent, runId, as }) {
  const reader = begin(as);
  reader.read(await mastra.getAgent(agent).stream('hi', { runId, onSuspended: reader.onSuspended }));
}

async function observe({ agent, runId, offset, as }) {
  const reader = begin(as);
  reader.read(await mastra.getAgent(agent).observe(runId, { ...(offset !== undefined && { offset }), onSuspended: reader.onSuspended }));
}

/** Answers a call of a run of this process, and reads on under another label. */
async function approve({ agent, runId, toolCallId, as }) {
  begin(as).read(await mastra.getAgent(agent).resume(runId, { approved: true }, { toolCallId }));
}

const seen = ({ as }) => {
  const { types, text, suspended, state, reason = null } = readers.get(as);
  return { types, text, suspended, state, reason };
};

const handlers = {
  start,
  observe,
  approve,
  seen,
  release: () => opened(),
  ended: async ({ as }) => {
    await readers.get(as).end;
    return seen({ as });
  },
  abort: ({ as }) => readers.get(as).run.abort(),
};

serve({ handlers: Object.fromEntries(Object.entries(handlers).map(([name, act]) => [name, async command => (await act(command)) ?? {}])), beforeExit: close, onUnhandled: () => {} });
