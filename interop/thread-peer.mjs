// A real Mastra agent with threads, driven over standard input and output as peer.mjs is. See README.md.
import { Agent } from '@mastra/core/agent';
import { Mastra } from '@mastra/core';
import { serve } from './lib/channel.mjs';
import { openBus } from './lib/bus.mjs';

const { address, ...options } = JSON.parse(process.argv[2] ?? '{}');
const { bus: pubsub } = await openBus(address, options);

/** Ends an answer that waits. */
let release = () => {};
const usage = { inputTokens: 3, outputTokens: 5, totalTokens: 8 };

/** A model that says what it was told, and waits before it ends when that is asked for. */
const model = {
  specificationVersion: 'v2',
  provider: 'mock-provider',
  modelId: 'mock-model',
  supportedUrls: {},
  async doGenerate() {
    throw new Error('this model only streams');
  },
  async doStream({ prompt }) {
    const told = prompt.filter(({ role }) => role === 'user').flatMap(({ content }) => content.map(({ text }) => text));
    const answered = prompt.some(({ role }) => role === 'assistant');
    const waits = !answered && told.includes('wait') ? new Promise(resolve => (release = resolve)) : undefined;
    const stream = new ReadableStream({
      async start(controller) {
        controller.enqueue({ type: 'stream-start', warnings: [] });
        controller.enqueue({ type: 'text-start', id: 't1' });
        controller.enqueue({ type: 'text-delta', id: 't1', delta: `heard ${told.join('|')}` });
        await waits;
        controller.enqueue({ type: 'text-end', id: 't1' });
        controller.enqueue({ type: 'finish', finishReason: 'stop', usage });
        controller.close();
      },
    });
    return { stream };
  },
};

const agent = new Agent({ id: 'analyst', name: 'Analyst', instructions: 'Listen.', model });
new Mastra({ agents: { analyst: agent }, pubsub, logger: false });

const seen = [];
let subscription;
let claim;

const commands = {
  async subscribe({ thread, resource }) {
    subscription = await agent.subscribeToThread({ threadId: thread, resourceId: resource });
    (async () => {
      for await (const part of subscription.stream) seen.push(JSON.parse(JSON.stringify(part)));
    })();
    return {};
  },
  seen: () => ({ parts: seen, active: subscription?.activeRunId() ?? null }),
  // To the run `runId`, or to whoever is at work in the thread; with `owned`, only its owner may wake the agent.
  async send({ thread, resource, text, signal: id, runId, owned }) {
    const idle = owned ? { ifIdle: { requireClaimedOwner: true } } : {};
    const target = runId === undefined ? { threadId: thread, resourceId: resource, ...idle } : { runId };
    const sent = agent.sendSignal({ type: 'user', contents: text, id }, target);
    const { action, runId: given } = await sent.accepted;
    return { action, given };
  },
  async stream({ thread, resource, text, runId }) {
    const output = await agent.stream(text, { runId, memory: { thread, resource } });
    (async () => {
      for await (const _ of output.fullStream);
    })();
    return {};
  },
  release: () => (release(), {}),
  async claim({ thread, resource, peer }) {
    claim = await agent.claimThreadOwnership({ threadId: thread, resourceId: resource, peer });
    return { claimed: claim.claimed };
  },
  unclaim: () => (claim.unsubscribe(), {}),
  advertise: ({ thread, resource, peer }) => ({
    updated: agent.updateThreadPeerAdvertisement({ threadId: thread, resourceId: resource, peer }),
  }),
  peers: async () => ({ peers: await agent.discoverThreadPeers() }),
};

serve({ handlers: commands, onUnhandled: () => {} });
