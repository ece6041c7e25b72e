// W4.failover: the broker is killed while events are published at a rate, and every outcome is accounted for.
import { nowNs, round, sleep } from './clock.mjs';
import { Cluster } from './roles.mjs';
import { FAILOVERS, FAILOVER_RATE } from './settings.mjs';

const SUBSCRIBERS = 2;
const PUBLISH_SECONDS = 3;
const TAIL_EVENTS = 200;
const STUCK_NS = 1e9;
const sum = numbers => numbers.reduce((total, number) => total + number, 0);
const largest = numbers => numbers.reduce((a, b) => Math.max(a, b), 0);

/** What one subscriber's trace says about a round. */
function judgeSubscriber(trace, log, killedNs) {
  const received = new Set(trace.map(([seq]) => seq));
  const isLost = ([seq, , , ok]) => ok === true && !received.has(seq);
  const lost = log.filter(isLost);
  const back = trace.find(([seq]) => log[seq][1] > killedNs);
  return {
    recoveryMs: back ? (back[1] - killedNs) / 1e6 : null,
    lostBefore: lost.filter(([, , done]) => done <= killedNs).length,
    lostDuring: lost.filter(([, , done]) => done > killedNs).length,
    duplicates: trace.length - received.size,
    reordered: trace.filter(([seq], position) => position > 0 && seq < trace[position - 1][0]).length,
    deaf: log.slice(-TAIL_EVENTS).some(([seq]) => !received.has(seq)),
  };
}

function judgeRound({ log, traces, brokers, killedNs, unhandled }) {
  const after = log.filter(([, call]) => call > killedNs);
  const stalls = after.filter(([, , , ok]) => ok === true).map(([, call, done]) => done - call);
  return {
    published: log.length,
    subscribers: traces.map(trace => judgeSubscriber(trace, log, killedNs)),
    rejected: log.filter(([, , , ok]) => ok === false).length,
    pending: log.filter(([, , , ok]) => ok === null).length,
    stuck: after.filter(([, call, done]) => done === null || done - call > STUCK_NS).length,
    longestStallMs: largest(stalls) / 1e6,
    brokers,
    unhandled,
  };
}

async function playRound(cluster) {
  await cluster.callSubscribers('reset', { trace: true });
  const publishing = cluster.publisher.call('log-publish', { rate: FAILOVER_RATE, seconds: PUBLISH_SECONDS });
  // Awaited below; until then a failure must not count as unhandled.
  publishing.catch(() => {});
  await sleep(700 + Math.random() * 300);
  const killedNs = nowNs();
  cluster.broker.kill();
  const { log, broker } = await publishing;
  const replies = await cluster.callSubscribers('trace');
  const brokers = [broker, ...replies.map(reply => reply.broker)].filter(Boolean).length;
  return judgeRound({ log, traces: replies.map(reply => reply.trace), brokers, killedNs, unhandled: cluster.unhandled });
}

function quantile(ascending, q) {
  if (ascending.length === 0) return null;
  return ascending[Math.min(ascending.length - 1, Math.floor(q * ascending.length))];
}

function summary(rounds) {
  const perSubscriber = rounds.flatMap(round => round.subscribers);
  const average = (round, name) => sum(round.subscribers.map(subscriber => subscriber[name])) / SUBSCRIBERS;
  const lostDuring = rounds.map(round => average(round, 'lostDuring'));
  const recoveries = perSubscriber.map(({ recoveryMs }) => recoveryMs).filter(ms => ms !== null).sort((a, b) => a - b);
  const recovery = q => quantile(recoveries, q);
  const microseconds = ms => (ms === null ? null : round(ms * 1e3, 3));
  return {
    p50_us: microseconds(recovery(0.5)),
    p99_us: microseconds(recovery(0.99)),
    rss_mb: null,
    recovery_ms: { min: round(recovery(0), 2), p50: round(recovery(0.5), 2), max: round(recovery(1), 2) },
    never_recovered: perSubscriber.length - recoveries.length,
    resolved_during_failover_but_lost: {
      total_per_subscriber: round(sum(lostDuring), 2),
      max_in_one: round(largest(lostDuring), 2),
      failovers_affected: lostDuring.filter(lost => lost > 0).length,
    },
    resolved_before_kill_but_lost: round(sum(rounds.map(one => average(one, 'lostBefore'))), 2),
    rejected: sum(rounds.map(one => one.rejected)),
    never_settled: sum(rounds.map(one => one.pending)),
    duplicates: sum(perSubscriber.map(one => one.duplicates)),
    reordered: sum(perSubscriber.map(one => one.reordered)),
    longest_publish_stall_ms: round(largest(rounds.map(one => one.longestStallMs)), 2),
    publishes_stuck_over_1s: rounds.map(one => one.stuck),
    brokers_after: [...new Set(rounds.map(one => one.brokers))],
    subscribers_deaf_at_end: perSubscriber.filter(one => one.deaf).length,
    unhandled_errors: sum(rounds.map(one => one.unhandled)),
  };
}

async function play() {
  const rounds = [];
  let mixture;
  const start = nowNs();
  for (let number = 0; number < FAILOVERS; number++) {
    const cluster = await Cluster.start(SUBSCRIBERS);
    try {
      rounds.push(await playRound(cluster));
      mixture = cluster.mixture;
    } finally {
      await cluster.stop();
    }
  }
  const seconds = (nowNs() - start) / 1e9;
  return { events: sum(rounds.map(one => one.published)), seconds, ...summary(rounds), ...mixture };
}

const line = {
  workload: 'W4.failover',
  params: { rounds: FAILOVERS, subscribers: SUBSCRIBERS, rate_per_s: FAILOVER_RATE, payload_bytes: 200 },
};

export const measurement = { lines: [line], run: async print => print(line, await play()) };
