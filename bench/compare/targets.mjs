// Which members of a line are compared, and what is wanted of them.

const W6_OURS = ['store_bytes_per_step', 'rss_growth_mb'];
const W7_RUNS = {
  more: ['events_per_s'],
  less: ['first_delta_p50_us', 'first_delta_p99_us', 'run_p50_ms', 'run_p99_ms', 'p50_us', 'p99_us', 'rss_growth_mb'],
  counts: ['lost', 'misordered', 'without_finish', 'kept_after_retention', 'bus_bytes_after_retention'],
};
const W7_PACED = { more: [], less: ['p50_us', 'p99_us'], counts: ['lost'] };
const W6_COUNTS = ['failed', 'steps_extra', 'kept_after_retention', 'bus_bytes_after_retention'];

/** Members where more is better are listed under `more`, the others under `less`; `counts` are shown, not divided. */
export const MEMBERS = {
  W1: { more: ['deliveries_per_s'], less: ['p50_us', 'p99_us'], counts: ['lost', 'misordered'] },
  W2: { more: ['events_per_s'], less: ['p50_us', 'p99_us'], counts: ['lost'] },
  'W3.publish': { more: ['events_per_s'], less: ['p50_us', 'p99_us', 'head10_p50_us', 'tail10_p50_us', 'rss_growth_mb'], counts: [] },
  'W3.replay': { more: [], less: ['first_ms', 'last_ms'], counts: ['lost', 'misordered'] },
  'W3.storm': { more: ['events_per_s'], less: ['seconds', 'attach_p99_us'], counts: ['lost', 'misordered'] },
  'W3.topics': {
    more: ['events_per_s'],
    less: ['rss_mb'],
    counts: ['topics_with_complete_history', 'topics_whose_index_restarted', 'live_subscriber_got', 'replay_subscriber_got'],
  },
  'W4.throughput': {
    more: ['deliveries_per_s'],
    less: ['p50_us', 'p99_us', 'rss_mb'],
    counts: ['lost', 'out_of_order_or_dup', 'rejected'],
  },
  'W4.latency': { more: [], less: ['p50_us', 'p99_us', 'max_us', 'rss_mb'], counts: ['lost'] },
  'W4.failover': {
    more: [],
    less: ['recovery_ms.p50', 'recovery_ms.max', 'longest_publish_stall_ms'],
    counts: [
      'resolved_during_failover_but_lost.total_per_subscriber',
      'resolved_before_kill_but_lost',
      'rejected',
      'never_settled',
      'duplicates',
      'reordered',
      'never_recovered',
      'subscribers_deaf_at_end',
      'unhandled_errors',
    ],
  },
  'W5.publish': { more: ['events_per_s', 'of_floor', 'floor_per_s', 'of_redis_benchmark', 'redis_benchmark_per_s'], less: ['p50_us', 'p99_us', 'rss_mb'], counts: [] },
  'W5.group': { more: ['events_per_s'], less: ['rss_mb'], counts: ['lost'] },
  'W5.fanout': {
    more: ['deliveries_per_s', 'publishes_per_s'],
    less: ['p50_us', 'p99_us', 'rss_mb'],
    counts: ['lost', 'missed', 'out_of_order_or_dup', 'rejected'],
  },
  'W5.latency': { more: [], less: ['p50_us', 'p99_us', 'max_us', 'bare_p50_us', 'over_bare', 'bare_one_way_p50_us', 'over_bare_one_way', 'rss_mb'], counts: ['lost'] },
  'W5.stream': { more: ['events_per_s', 'chunks_per_round_trip'], less: ['p50_us', 'p99_us'], counts: ['lost', 'misordered'] },
  'W6.linear10': { more: ['runs_per_s'], less: ['per_step_us', 'p50_us', 'p99_us', ...W6_OURS], counts: W6_COUNTS },
  'W6.parallel100': { more: ['runs_per_s'], less: ['per_step_us', 'p50_us', 'p99_us', ...W6_OURS], counts: W6_COUNTS },
  'W6.foreach': { more: ['runs_per_s'], less: ['per_step_us', 'p50_us', 'p99_us', ...W6_OURS], counts: W6_COUNTS },
  'W6.long': { more: [], less: ['per_step_us', 'head10_us', 'tail10_us', 'tail_over_head', ...W6_OURS], counts: W6_COUNTS },
  'W6.sqlite': { more: ['runs_per_s'], less: ['per_step_us', 'p50_us', 'p99_us', ...W6_OURS], counts: W6_COUNTS },
  'W7.durable': W7_RUNS,
  'W7.evented': W7_RUNS,
  'W7.durable.paced': W7_PACED,
  'W7.evented.paced': W7_PACED,
  'W7.observe': { more: ['events_per_s'], less: ['p50_us', 'p99_us', 'first_delta_p50_us', 'cold_ms'], counts: ['lost', 'misordered', 'without_finish'] },
  'W7.crowd': { more: ['events_per_s'], less: ['run_p50_ms'], counts: ['lost', 'misordered', 'without_finish'] },
  'W7.memory': { more: [], less: ['growth_kb_per_run', 'rss_growth_mb', 'rss_mb'], counts: ['lost', 'topics_growth', 'kept_after_retention', 'bus_bytes_after_retention'] },
  'W9.startup': { more: [], less: ['p50_us', 'p99_us', 'rss_mb'], counts: [] },
};

const ratio = (workload, params, member, least) => ({ workload, params, member, least });
const limit = (workload, params, member, most) => ({ workload, params, member, most });
const atLeast = (workload, params, member, value) => ({ workload, params, member, value });

/** What subscribers in one process get is put beside what as many processes of the reference get. */
const apart = params => params.replace(',"shared":true', '');
const single = params => params.replace('"consumers":4', '"consumers":1');

/**
 * `least`: the ratio in our favour, to the line of the reference with the same parameters or with those that `against` makes
 * of them; `most`, `value`: a limit of the value itself, from above or below; `beyond`: more than our line with the parameters that
 * it makes. `params` is a part of the parameters as compact JSON, or a pattern.
 */
const TARGETS = [
  ratio('W1', '{"subscribers":1,"', 'deliveries_per_s', 10),
  ratio('W1', '{"subscribers":100,"', 'deliveries_per_s', 2),
  ratio('W3.publish', '', 'events_per_s', 12),
  ratio('W3.storm', '"offset":0', 'seconds', 10),
  ratio('W4.throughput', '{"subscribers":1,"payload_bytes":200,"in_flight":1}', 'deliveries_per_s', 10),
  ratio('W4.throughput', '{"subscribers":1,"payload_bytes":16384,"in_flight":1}', 'deliveries_per_s', 10),
  ratio('W4.throughput', '{"subscribers":8,"payload_bytes":200,"in_flight":1}', 'deliveries_per_s', 15),
  limit('W4.latency', '{"subscribers":1,', 'p50_us', 60),
  limit('W4.latency', '{"subscribers":1,', 'p99_us', 300),
  limit('W4.failover', '', 'recovery_ms.p50', 20),
  limit('W4.failover', '', 'recovery_ms.max', 100),
  atLeast('W5.publish', '"in_flight":256', 'of_redis_benchmark', 0.8),
  ratio('W5.group', '{"consumers":1,"backlog":40000,', 'events_per_s', 4),
  { workload: 'W5.group', params: '{"consumers":4', member: 'events_per_s', beyond: single },
  { ...ratio('W5.fanout', /"in_flight":256.*"shared":true/, 'deliveries_per_s', 8), against: apart },
  ratio('W5.fanout', /"subscribers":8,"in_flight":256.*\d}$/, 'deliveries_per_s', 2),
  limit('W5.latency', '', 'over_bare', 1.5),
  limit('W5.latency', '', 'p99_us', 1000),
  atLeast('W5.stream', '"in_flight":256', 'chunks_per_round_trip', 64),
  limit('W6.linear10', '{"concurrent_runs":1,', 'per_step_us', 8),
  ratio('W6.linear10', '{"concurrent_runs":50,', 'runs_per_s', 10),
  ratio('W6.parallel100', '', 'runs_per_s', 10),
  limit('W6.foreach', '"items":1000,', 'p50_us', 50_000),
  limit('W6.long', '"steps_per_run":10000', 'per_step_us', 8),
  limit('W6.long', '"steps_per_run":10000', 'tail_over_head', 1.25),
  limit('W6.sqlite', '{"concurrent_runs":50,', 'per_step_us', 150),
  ...['W7.durable', 'W7.evented'].flatMap(flavour => [
    ratio(flavour, '', 'events_per_s', 10),
    ratio(flavour, '{"concurrent_runs":50,', 'first_delta_p50_us', 10),
    ratio(`${flavour}.paced`, '', 'p50_us', 1),
    ratio(`${flavour}.paced`, '', 'p99_us', 1),
  ]),
  ratio('W7.observe', '{"observers":50,', 'events_per_s', 20),
  // A run of the workload is some 300 kB; what is less than one in a hundred is the allocator.
  limit('W7.memory', '', 'growth_kb_per_run', 3),
  limit('W9.startup', '"bus"', 'p50_us', 15_000),
  limit('W9.startup', '"bus"', 'rss_mb', 12),
];
/** A Rust publisher and a Node subscriber, with a Rust broker. */
const MIXED_TARGET = { least: 2 };

const fits = (text, params) => (typeof params === 'string' ? text.includes(params) : params.test(text));

/** The target of a member, if it has one. Lines with JSON payloads and mixed roles have none of the others. */
export function targetOf({ workload, params }, member, roles) {
  const text = JSON.stringify(params);
  if (roles) return roles === 'broker=rust,publisher=rust,subscriber=node' && member === 'deliveries_per_s' ? MIXED_TARGET : undefined;
  if (text.includes('"payload":"json"')) return undefined;
  return TARGETS.find(target => target.workload === workload && target.member === member && fits(text, target.params));
}

/** The value of a member, which may be one of a group: `recovery_ms.p50`. */
export const valueOf = (line, member) => member.split('.').reduce((value, name) => value?.[name], line) ?? null;
