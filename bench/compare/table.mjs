// The document: ratios per line and member, counts, and what misses its target.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { MEMBERS, targetOf, valueOf } from './targets.mjs';

const WITHOUT_JSON = ',"payload":"json"';

function median(numbers) {
  const ascending = numbers.toSorted((a, b) => a - b);
  const middle = ascending.length >> 1;
  return ascending.length % 2 === 1 ? ascending[middle] : (ascending[middle - 1] + ascending[middle]) / 2;
}

/** Three significant digits, thousands apart. */
function shown(number) {
  if (number === null || number === undefined) return '–';
  if (Math.abs(number) >= 1000) return Math.round(number).toLocaleString('en').replaceAll(',', ' ');
  return String(Number(number.toPrecision(3)));
}

const numbers = (lines, member) => lines.map(line => valueOf(line, member)).filter(value => value !== null);
const middle = (lines, member) => (numbers(lines, member).length > 0 ? median(numbers(lines, member)) : null);

/** The factor in our favour in each round that both sides have. */
function ratios(node, rust, member, moreIsBetter) {
  const factors = [];
  for (let round = 0; round < Math.min(node.length, rust.length); round++) {
    const [theirs, ours] = [valueOf(node[round], member), valueOf(rust[round], member)];
    if (theirs > 0 && ours > 0) factors.push(moreIsBetter ? ours / theirs : theirs / ours);
  }
  return factors;
}

/** Parameters for people. */
const nameOf = params => params.slice(1, -1).replaceAll('"', '').replaceAll(',', ' ');

/** One line of a workload on both sides. `lines(side, params)` finds other lines of the workload. */
class Pair {
  constructor(rust, node, roles, lines) {
    const [{ workload, params }] = rust;
    Object.assign(this, { rust, node, roles, lines, workload, params });
    this.members = MEMBERS[workload];
    this.name = `${nameOf(JSON.stringify(params))} ${roles ?? ''}`.trim();
  }

  /** Medians, and the ratio in our favour with its spread. */
  compare(member) {
    const factors = ratios(this.node, this.rust, member, this.members.more.includes(member));
    const spread = factors.length > 1 ? ` (${shown(Math.min(...factors))}–${shown(Math.max(...factors))})` : '';
    const factor = factors.length > 0 ? median(factors) : null;
    return { theirs: middle(this.node, member), ours: middle(this.rust, member), factor, spread };
  }

  cell(member) {
    const { theirs, ours, factor, spread } = this.compare(member);
    const behind = factor !== null && factor < 1 ? ' behind' : '';
    return `${shown(theirs)} → ${shown(ours)}${factor === null ? '' : `, ${shown(factor)}×${spread}${behind}`}`;
  }

  /** Wanted, measured, and whether that is enough; measured is null when it was not. */
  judge(member, target) {
    const { ours } = this.compare(member);
    if (target.most !== undefined) return [`≤ ${shown(target.most)}`, ours === null ? null : shown(ours), ours <= target.most];
    if (target.value !== undefined) return [`≥ ${shown(target.value)}`, ours === null ? null : shown(ours), ours >= target.value];
    const { beyond, against, least } = target;
    const text = JSON.stringify(this.params);
    if (beyond) {
      const other = middle(this.lines('rust', beyond(text)), member);
      const missing = ours === null || other === null;
      return [`more than ${nameOf(beyond(text))}`, missing ? null : `${shown(ours)} and ${shown(other)}`, ours > other];
    }
    const node = against ? this.lines('node', against(text)) : this.node;
    const { factor, spread } = new Pair(this.rust, node, this.roles).compare(member);
    const wanted = `≥ ${least}×${against ? ` of ${nameOf(against(text))}` : ''}`;
    return [wanted, factor === null ? null : `${shown(factor)}×${spread}`, factor >= least];
  }

  targets() {
    return [...this.members.more, ...this.members.less].flatMap(member => {
      const target = targetOf(this, member, this.roles);
      if (!target) return [];
      const [wanted, measured, met] = this.judge(member, target);
      return [[this.workload, this.name, member, wanted, measured ?? 'not measured', measured === null ? '' : met ? 'met' : '**missed**']];
    });
  }

  /** The counts that are not 0 on both sides. */
  counts() {
    const sum = (lines, member) => (lines.length > 0 ? numbers(lines, member).reduce((a, b) => a + b, 0) : null);
    return this.members.counts
      .map(member => [this.workload, this.name, member, sum(this.node, member), sum(this.rust, member)])
      .filter(([, , , theirs, ours]) => theirs || ours)
      .map(([workload, name, member, theirs, ours]) => [workload, name, member, shown(theirs), shown(ours)]);
  }
}

function table(head, rows) {
  const line = cells => `| ${cells.join(' | ')} |\n`;
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('');
}

function machine() {
  const core = JSON.parse(readFileSync('interop/node_modules/@mastra/core/package.json', 'utf8')).version;
  let commit = 'unknown';
  try {
    commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    // Not a checkout.
  }
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, ${gib} GiB, ${process.platform} ${release()}; Node ${process.versions.node}, @mastra/core ${core}; Bowline at ${commit}.`;
}

function sectionOf(workload, pairs) {
  const { more, less } = MEMBERS[workload];
  const members = [...more, ...less];
  const rows = pairs.map(pair => [pair.name, ...members.map(member => pair.cell(member))]);
  return `## ${workload}\n\n${table(['params', ...members], rows)}`;
}

/** `results`: lines by key for `node` and `rust`. */
export function document(results, { rounds, seconds, mixtures }) {
  const pairs = [...results.rust].map(([key, rust]) => {
    const roles = mixtures.find(mixture => key.endsWith(mixture));
    const node = results.node.get(key.replace(roles ?? '', '').replace(WITHOUT_JSON, '')) ?? [];
    const lines = (side, params) => results[side].get(rust[0].workload + params) ?? [];
    return new Pair(rust, node, roles, lines);
  });
  const workloads = [...new Set(pairs.map(pair => pair.workload))];
  const loads = [...results.rust.values(), ...results.node.values()].flat().map(line => line.load1 ?? 0);
  return `# Results

${machine()}

${rounds} rounds of ${seconds} s per measurement, Node and Bowline in turns; failover once. The load average was ${shown(Math.min(...loads))} to
${shown(Math.max(...loads))} when a measurement began. The workloads are described in [README.md](README.md).

A cell reads: Node → Bowline, ratio (smallest–largest of the rounds). Values are medians, the ratio is the median of the ratios
of the rounds and above 1 in favour of Bowline; "behind" marks what the reference does better. Lines with \`payload:json\`
are put beside the Node line of the same size, whose data are objects by reference.

## Targets

${table(['workload', 'params', 'member', 'target', 'measured', ''], pairs.flatMap(pair => pair.targets()))}
${workloads.map(workload => sectionOf(workload, pairs.filter(pair => pair.workload === workload))).join('\n')}
## Counts

Sums over the rounds: losses and disorder, of the losses those that subscribers were told of (\`missed\`), and what the topics of
W3 kept. Whatever is not listed is 0 on both sides.

${table(['workload', 'params', 'member', 'Node', 'Bowline'], pairs.flatMap(pair => pair.counts()))}`;
}
