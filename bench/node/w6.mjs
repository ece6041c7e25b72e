// W6: the evented workflow engine, with the storage and the bus of this process.
import { localNs, round, rssMb } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadEngine, loadEvents, loadStorage, loadWorkflows, loadZod } from './packages.mjs';
import { SECONDS, WARMUP_SECONDS } from './settings.mjs';

/** The longest measurement of an iteration. */
const FOREACH_SECONDS = 1;
/** An iteration over so many items is too slow to be done once more for warming up. */
const COLD_ITEMS = 200;

/** What a run does: its steps, its input and whether its result is right. */
const shapes = {
  linear: steps => ({
    steps,
    input: { n: 0 },
    build: (builder, step) => Array.from({ length: steps }).reduce((chain, _, number) => chain.then(step(number)), builder),
    isRight: result => result.n === steps,
  }),
  parallel: steps => ({
    steps,
    input: { n: 0 },
    build: (builder, step) => builder.parallel(Array.from({ length: steps }, (_, number) => step(number))),
    isRight: result => Object.keys(result).length === steps && Object.values(result).every(({ n }) => n === 1),
  }),
  foreach: (items, concurrency) => ({
    steps: items,
    input: Array.from({ length: items }, (_, n) => ({ n })),
    build: (builder, step) => builder.foreach(step(0), { concurrency }),
    isRight: result => result.length === items && result.every(({ n }, position) => n === position + 1),
  }),
};

/** The engine with one workflow. */
class Bed {
  static async make(shape) {
    const [{ Mastra }, { EventEmitterPubSub }, { InMemoryStore }] = await Promise.all([loadEngine(), loadEvents(), loadStorage()]);
    const bed = new Bed(shape);
    const bus = new EventEmitterPubSub();
    const publish = bus.publish.bind(bus);
    bus.publish = (...args) => {
      bed.published++;
      return publish(...args);
    };
    const workflows = await bed.workflows();
    bed.mastra = new Mastra({ workflows, storage: new InMemoryStore(), pubsub: bus, logger: false });
    await bed.mastra.startEventEngine();
    return bed;
  }

  constructor(shape) {
    this.shape = shape;
    this.executed = 0;
    this.published = 0;
  }

  /** By name: a workflow by itself has a `then`, so nothing may await it. */
  async workflows() {
    const [{ createStep, createWorkflow }, { z }] = await Promise.all([loadWorkflows(), loadZod()]);
    const number = z.object({ n: z.number() });
    const step = position =>
      createStep({
        id: `s${position}`,
        inputSchema: number,
        outputSchema: number,
        execute: async ({ inputData }) => {
          this.executed++;
          return { n: inputData.n + 1 };
        },
      });
    const inputSchema = Array.isArray(this.shape.input) ? z.array(number) : number;
    const builder = createWorkflow({ id: 'bench', inputSchema, outputSchema: z.any() });
    return { bench: this.shape.build(builder, step).commit() };
  }

  async run() {
    const run = await this.mastra.getWorkflow('bench').createRun();
    const { status, result, error } = await run.start({ inputData: this.shape.input });
    if (status !== 'success' || !this.shape.isRight(result)) throw new Error(`a run is ${status}: ${JSON.stringify(error ?? result)}`);
  }

  /** Runs, `width` at a time, each task the next when its last has ended; one per task at least. */
  async runs(width, seconds) {
    const all = { done: 0, failed: 0, histogram: new Histogram() };
    const end = localNs() + seconds * 1e9;
    const task = async () => {
      let now = localNs();
      do {
        const called = now;
        try {
          await this.run();
          all.done++;
        } catch (error) {
          all.failed++;
          all.error = error;
        }
        now = localNs();
        all.histogram.add(now - called);
      } while (now < end);
    };
    await Promise.all(Array.from({ length: width }, task));
    if (all.done === 0) throw all.error;
    return all;
  }

  async measure(width, seconds) {
    [this.executed, this.published] = [0, 0];
    const rssBefore = rssMb();
    const start = localNs();
    const { done, failed, histogram } = await this.runs(width, seconds);
    const took = (localNs() - start) / 1e9;
    const { executed, published } = this;
    const { steps } = this.shape;
    return {
      events: executed,
      seconds: took,
      histogram,
      runs: done,
      failed,
      runs_per_s: round(done / took, 1),
      per_step_us: round((took * 1e6) / executed, 3),
      per_step_latency_us: round(histogram.quantileUs(0.5) / steps, 3),
      bus_events_per_run: round(published / done, 1),
      steps_extra: executed - done * steps,
      rss_growth_mb: round(rssMb() - rssBefore, 1),
    };
  }
}

function measurement(workload, shape, concurrent_runs, more = {}) {
  const line = { workload, params: { concurrent_runs, steps_per_run: shape.steps, ...more } };
  const seconds = more.items ? Math.min(SECONDS, FOREACH_SECONDS) : SECONDS;
  const run = async print => {
    const bed = await Bed.make(shape);
    if (!(more.items >= COLD_ITEMS)) await bed.runs(concurrent_runs, WARMUP_SECONDS);
    print(line, await bed.measure(concurrent_runs, seconds));
  };
  return { lines: [line], run };
}

export const measurements = [
  ...[1, 50].map(width => measurement('W6.linear10', shapes.linear(10), width)),
  measurement('W6.parallel100', shapes.parallel(100), 1),
  ...[10, 50, 100, 200].map(items => measurement('W6.foreach', shapes.foreach(items, 10), 1, { items, concurrency: 10 })),
];
