// A real Mastra instance with workflows, driven over standard input and output as peer.mjs is. See README.md.
import http from 'node:http';
import { Readable } from 'node:stream';
import { Mastra } from '@mastra/core';
import { EventEmitterPubSub, UnixSocketPubSub } from '@mastra/core/events';
import { createStep, createWorkflow } from '@mastra/core/workflows/evented';
import { z } from 'zod';
import { HttpRemoteStrategy } from '@mastra/core/worker';
import { messageOf, serve } from './lib/channel.mjs';

const { socket, workers = true } = JSON.parse(process.argv[2] ?? '{}');
const any = z.any();
const executed = {};

/** A step that counts its executions in this process. */
function step(id, execute, more = {}) {
  const counting = async context => {
    executed[id] = (executed[id] ?? 0) + 1;
    return execute(context);
  };
  return createStep({ id, inputSchema: any, outputSchema: any, execute: counting, ...more });
}

/** A step that has to be executed elsewhere. */
const elsewhere = (id, more) => step(id, () => Promise.reject(new Error(`${id} was executed in Node`)), more);
const workflow = id => createWorkflow({ id, inputSchema: any, outputSchema: any });

async function act({ requestContext, inputData, resumeData, suspendData, suspend, bail, setState, state, retryCount, getInitData }) {
  switch (inputData.mode) {
    case 'fail':
      throw new TypeError('nope');
    case 'flaky':
      if (retryCount < 1) throw new Error('again');
      return { retryCount };
    case 'bail':
      return bail({ early: true });
    case 'ask':
      if (resumeData) return { resumeData, suspendData };
      return suspend({ why: 1 }, { resumeLabel: 'label' });
    case 'context':
      return Object.fromEntries(requestContext.entries());
    case 'wait':
      return new Promise(() => {});
    default:
      await setState({ set: true });
      return { n: inputData.n + 1, state, initial: getInitData() };
  }
}

const workflows = {
  // Executed in this process.
  here: workflow('here').then(step('act', act)).then(step('last', async ({ inputData }) => inputData)).commit(),
  sides: workflow('sides')
    .then(step('both', async ({ inputData }) => inputData))
    .parallel([step('one', async () => ({ side: 1 })), step('two', async () => [2])])
    .commit(),
  // Executed by the server at MASTRA_STEP_EXECUTION_URL.
  there: workflow('there')
    .then(elsewhere('first'))
    .foreach(elsewhere('each'), { concurrency: 2 })
    .parallel([elsewhere('left'), elsewhere('right')])
    .dountil(elsewhere('again'), async ({ inputData }) => inputData.n >= 3)
    .then(elsewhere('ask'))
    .commit(),
  flaky: workflow('flaky').then(elsewhere('flaky', { retries: 2 })).commit(),
  // Executed by another process on the bus: this one must not have workers.
  stub: workflow('stub').then(elsewhere('stub')).commit(),
};

const pubsub = socket ? new UnixSocketPubSub(socket) : new EventEmitterPubSub();
const mastra = new Mastra({ workflows, pubsub, logger: false, ...(workers ? {} : { workers: false }) });
if (workers) await mastra.startWorkers();
else await pubsub.subscribe('presence', () => {});

/** What a result has on the wire: errors as their own members. */
function plain(result) {
  const error = result.error && { name: result.error.name, message: result.error.message };
  return { ...JSON.parse(JSON.stringify(result)), ...(error && { error }) };
}

async function start({ workflow: id, runId, input, state, context }) {
  const run = await mastra.getWorkflow(id).createRun(runId ? { runId } : {});
  const requestContext = new Map(Object.entries(context ?? {}));
  requestContext.toJSON = () => context ?? {};
  const result = await run.start({
    inputData: input,
    ...(state && { initialState: state }),
    ...(context && { requestContext }),
    outputOptions: { includeState: true },
  });
  return { result: plain(result) };
}

async function resume({ workflow: id, runId, step: name, data }) {
  const run = await mastra.getWorkflow(id).createRun({ runId });
  return { result: plain(await run.resume({ step: name, resumeData: data })) };
}

/** Starts a workflow that this process does not have, and waits for its end as the package itself does. */
async function call({ workflow: workflowId, runId, input }) {
  const end = new Promise(resolve => {
    const callback = (event, ack) => {
      ack?.();
      if (event.runId === runId) resolve({ type: event.type, data: event.data });
    };
    pubsub.subscribe('workflows-finish', callback).then(() =>
      pubsub.publish('workflows', {
        type: 'workflow.start',
        runId,
        data: { workflowId, runId, prevResult: { status: 'success', output: input }, requestContext: {}, initialState: {} },
      }),
    );
  });
  return end;
}

/** The package's own HTTP server for this instance. */
async function listen() {
  const { Hono } = await import('hono');
  const { MastraServer } = await import('@mastra/hono');
  const app = new Hono();
  await new MastraServer({ app, mastra }).init();
  const server = http.createServer(async (request, response) => {
    const body = request.method === 'POST' ? Readable.toWeb(request) : undefined;
    const asked = new Request(`http://peer${request.url}`, { method: request.method, headers: request.headers, body, duplex: 'half' });
    const answer = await app.fetch(asked);
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    response.end(Buffer.from(await answer.arrayBuffer()));
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/api` };
}

/** Has the package's own client ask for a step again and again, each time giving up after `timeoutMs`. */
async function ask({ url: serverUrl, token, timeoutMs, times, params }) {
  const strategy = new HttpRemoteStrategy({ serverUrl, auth: { type: 'bearer', token }, timeoutMs });
  const outcomes = [];
  for (let time = 0; time < times; time++) {
    const outcome = await strategy.executeStep(params).then(result => ({ result }), error => ({ error: messageOf(error) }));
    outcomes.push(outcome);
  }
  return { outcomes };
}

serve({ handlers: { ask, start, resume, call, listen, executed: () => ({ executed }) }, onUnhandled: () => {} });
