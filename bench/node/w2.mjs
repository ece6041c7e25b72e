// W2: one consumer group on the in-process bus, every event acknowledged.
import { localNs, turn } from './clock.mjs';
import { Histogram } from './histogram.mjs';
import { loadEvents } from './packages.mjs';
import { blast } from './publishers.mjs';
import { SECONDS, WARMUP_SECONDS } from './settings.mjs';
import { SentTimes } from './w1.mjs';

const TOPIC = 'bench';
const MEMBERS = 4;
/** How long acknowledgements may take to come in after the last publish. */
const PATIENCE_NS = 3e9;

async function group(width) {
  const { EventEmitterPubSub } = await loadEvents();
  const bus = new EventEmitterPubSub();
  const sent = new SentTimes();
  let histogram;
  let perMember;
  let acked;
  const reset = () => {
    histogram = new Histogram();
    perMember = new Array(MEMBERS).fill(0);
    acked = 0;
  };
  reset();
  for (let member = 0; member < MEMBERS; member++) {
    const onEvent = async ({ data }, ack) => {
      const seq = Number.parseInt(data.seq, 10);
      if (seq % 10 === 0) histogram.add(sent.since(seq));
      perMember[member]++;
      await ack();
      acked++;
    };
    await bus.subscribe(TOPIC, onEvent, { group: 'g' });
  }
  await blast(WARMUP_SECONDS, width, seq => sent.publish(bus, seq));
  await turn();
  reset();

  const start = localNs();
  const events = await blast(SECONDS, width, seq => sent.publish(bus, seq));
  for (const published = localNs(); acked < events && localNs() - published < PATIENCE_NS; ) await turn();
  const seconds = (localNs() - start) / 1e9;
  await bus.close();
  const received = perMember.reduce((sum, count) => sum + count, 0);
  return { events, seconds, histogram, acked, lost: events - received, per_member: perMember };
}

function measurement(in_flight) {
  const line = { workload: 'W2', params: { group_members: MEMBERS, in_flight, payload_bytes: 200 } };
  return { lines: [line], run: async print => print(line, await group(in_flight)) };
}

export const measurements = [1, 1000].map(measurement);
