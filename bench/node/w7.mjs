// W7: a durable agent whose model answers with a thousand text deltas, on the bus and the storage of this process.
import { localNs, nowNs, round, rssMb, sleep } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadAgent, loadDurableAgents, loadEngine, loadEvents, loadStorage } from './packages.mjs';
import { SECONDS } from './settings.mjs';

const DELTAS = 1000;
const GAP_MS = 5;
const OFFSET = 500;
/** Four events come before the first delta. */
const BEFORE = OFFSET - 4;
/** The factories of both flavours, by their names in the package. */
const FLAVOURS = { durable: 'createDurableAgent', evented: 'createEventedAgent' };

/** The parts of an answer. A delta is its number in 6 digits and the instant at which it was made in 16. */
async function* answer(deltas, gapMs) {
  const begun = performance.now();
  yield { type: 'stream-start', warnings: [] };
  yield { type: 'response-metadata', id: 'id-0', modelId: 'mock', timestamp: new Date(0) };
  yield { type: 'text-start', id: 't' };
  for (let number = 0; number < deltas; number++) {
    const early = gapMs ? begun + number * gapMs - performance.now() : 0;
    if (early > 0) await sleep(early);
    yield { type: 'text-delta', id: 't', delta: String(number).padStart(6, '0') + String(nowNs()).padStart(16, '0') };
  }
  yield { type: 'text-end', id: 't' };
  yield { type: 'finish', finishReason: 'stop', usage: { inputTokens: 1, outputTokens: deltas, totalTokens: deltas + 1 } };
}

/** A model that makes a part when it is pulled. */
function model(deltas, gapMs) {
  const pulled = parts => async controller => {
    const { value, done } = await parts.next();
    if (done) controller.close();
    else controller.enqueue(value);
  };
  return {
    specificationVersion: 'v2',
    provider: 'mock',
    modelId: 'mock',
    supportedUrls: {},
    doGenerate: async () => Promise.reject(new Error('it only streams')),
    doStream: async () => ({ stream: new ReadableStream({ pull: pulled(answer(deltas, gapMs)) }), rawCall: { rawPrompt: null, rawSettings: {} }, warnings: [] }),
  };
}

/** What a reader sees of a run, from the call that gives it; `live` if the time from the model to the reader is of interest. */
async function read(open, next, live) {
  const seen = { called: localNs(), deltas: 0, misordered: 0, finished: false, latencies: [] };
  const run = await open();
  for await (const { type, payload } of run.fullStream) {
    if (type === 'text-delta') {
      if (live) seen.latencies.push(nowNs() - Number(payload.text.slice(6)));
      seen.first ??= localNs();
      const number = Number(payload.text.slice(0, 6));
      if (number !== next) seen.misordered++;
      next = number + 1;
      seen.deltas++;
    }
    if (type === 'finish') seen.finished = true;
  }
  return { ...seen, ended: localNs(), run };
}

/** What several readers saw. */
class Reads {
  runs = 0;
  deltas = 0;
  lost = 0;
  misordered = 0;
  without_finish = 0;
  latencies = new Histogram();
  lengths = new Histogram();
  firsts = new Histogram();

  add(seen, expected) {
    this.runs++;
    this.deltas += seen.deltas;
    this.lost += expected - seen.deltas;
    this.misordered += seen.misordered;
    if (!seen.finished) this.without_finish++;
    seen.latencies.forEach(ns => this.latencies.add(ns));
    this.lengths.add(seen.ended - seen.called);
    if (seen.first !== undefined) this.firsts.add(seen.first - seen.called);
  }
}

/** The agent with an engine of its own. */
class Bed {
  static async make(flavour, deltas = DELTAS, gapMs = 0) {
    const [{ Agent }, durable, { Mastra }, { EventEmitterPubSub }, { InMemoryStore }] = await Promise.all([
      loadAgent(),
      loadDurableAgents(),
      loadEngine(),
      loadEvents(),
      loadStorage(),
    ]);
    const bed = new Bed();
    const pubsub = new EventEmitterPubSub();
    const publish = pubsub.publish.bind(pubsub);
    pubsub.publish = (...args) => {
      bed.published++;
      return publish(...args);
    };
    const agent = new Agent({ id: 'bench', name: 'bench', instructions: 'x', model: model(deltas, gapMs) });
    const bench = durable[FLAVOURS[flavour]]({ agent, pubsub });
    const mastra = new Mastra({ agents: { bench }, storage: new InMemoryStore(), pubsub, logger: false });
    await mastra.startEventEngine();
    bed.agent = mastra.getAgent('bench');
    return bed;
  }

  published = 0;

  run = () => read(() => this.agent.stream('hi'), 0, true);

  observe = runId => read(() => this.agent.observe(runId, { offset: OFFSET }), BEFORE, false);
}

async function measure(flavour, width, rounds) {
  const bed = await Bed.make(flavour);
  (await bed.run()).run.cleanup();
  bed.published = 0;
  const reads = new Reads();
  const rssBefore = rssMb();
  const start = localNs();
  for (let turn = 0; turn < rounds; turn++) {
    const all = await Promise.all(Array.from({ length: width }, bed.run));
    all.forEach(seen => reads.add(seen, DELTAS));
    all.forEach(({ run }) => run.cleanup());
  }
  const seconds = (localNs() - start) / 1e9;
  const { runs, lengths, firsts, lost, misordered, without_finish } = reads;
  return {
    events: reads.deltas,
    seconds,
    histogram: reads.latencies,
    run_p50_ms: round(lengths.quantileUs(0.5) / 1e3, 3),
    run_p99_ms: round(lengths.quantileUs(0.99) / 1e3, 3),
    runs,
    runs_per_s: round(runs / seconds, 1),
    first_delta_p50_us: firsts.quantileUs(0.5),
    first_delta_p99_us: firsts.quantileUs(0.99),
    bus_events_per_run: round(bed.published / runs, 1),
    lost,
    misordered,
    without_finish,
    rss_growth_mb: round(rssMb() - rssBefore, 1),
  };
}

async function measurePaced(flavour) {
  const deltas = Math.round((SECONDS * 1e3) / GAP_MS);
  const bed = await Bed.make(flavour, deltas, GAP_MS);
  const reads = new Reads();
  const seen = await bed.run();
  reads.add(seen, deltas);
  seen.run.cleanup();
  return { events: reads.deltas, seconds: (seen.ended - seen.called) / 1e9, histogram: reads.latencies, lost: reads.lost };
}

/** Attaches readers to a run that has ended. */
async function observe(bed, runId, observers) {
  const start = localNs();
  const all = await Promise.all(Array.from({ length: observers }, () => bed.observe(runId)));
  const seconds = (localNs() - start) / 1e9;
  const reads = new Reads();
  all.forEach(seen => reads.add(seen, DELTAS - BEFORE));
  const { deltas, lengths, firsts, lost, misordered, without_finish } = reads;
  return { events: deltas, seconds, histogram: lengths, first_delta_p50_us: firsts.quantileUs(0.5), lost, misordered, without_finish };
}

function throughput(flavour, concurrent_runs, rounds) {
  const line = { workload: `W7.${flavour}`, params: { concurrent_runs, chunks: DELTAS } };
  return { lines: [line], run: async print => print(line, await measure(flavour, concurrent_runs, rounds)) };
}

function paced(flavour) {
  const line = { workload: `W7.${flavour}.paced`, params: { concurrent_runs: 1, rate_per_s: 1000 / GAP_MS } };
  return { lines: [line], run: async print => print(line, await measurePaced(flavour)) };
}

function observing() {
  const lines = [1, 50].map(observers => ({ workload: 'W7.observe', params: { observers, offset: OFFSET, chunks: DELTAS } }));
  const run = async print => {
    const bed = await Bed.make('durable');
    (await bed.run()).run.cleanup();
    const { run: finished } = await bed.run();
    const cold = await observe(bed, finished.runId, 1);
    for (const line of lines) {
      const { observers } = line.params;
      const result = await observe(bed, finished.runId, observers);
      print(line, { ...result, cold_ms: observers === 1 ? round(cold.seconds * 1e3, 3) : null });
    }
  };
  return { lines, run };
}

export const measurements = [
  ...Object.keys(FLAVOURS).flatMap(flavour => [throughput(flavour, 1, 20), throughput(flavour, 50, 2)]),
  ...Object.keys(FLAVOURS).map(paced),
  observing(),
];
