// Captured commands and observed ones, brought to one form in which they can be compared.
import { readFileSync } from 'node:fs';
import * as scripts from '../lib/redis-streams/scripts.mjs';

const CAPTURE = new URL('../../crates/redis/testdata/redis-streams.txt', import.meta.url);
const MARK = /^"ECHO" "## (.*)"$/;

const scriptNames = new Map([
  [scripts.NACK_IF_OWNED, 'nack-if-owned'],
  [scripts.NACK_IF_OWNED_TRIMMED, 'nack-if-owned-trimmed'],
  [scripts.EXTEND_IF_OWNED, 'extend-if-owned'],
  [scripts.LEASE_REFRESH, 'lease-refresh'],
  [scripts.LEASE_RENEW, 'lease-renew'],
  [scripts.LEASE_TRANSFER, 'lease-transfer'],
  [scripts.LEASE_RELEASE, 'lease-release'],
]);

/** The captured scenarios: a map from number to a list of `{connection, command}`. */
export function captured() {
  const scenarios = new Map();
  let commands;
  for (const line of readFileSync(CAPTURE, 'utf8').split('\n')) {
    const title = /^## (\S+)/.exec(line);
    if (title) scenarios.set(title[1], (commands = []));
    const [, connection, command] = /^\s*(c\d+|lua) (".*)$/.exec(line) ?? [];
    if (command) commands.push({ connection, command });
  }
  return scenarios;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/g;
const TIME = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z/g;
const ENTRY = /(?<=["(])\d{13}-\d+(?=")/g;
/** A time that a scenario itself writes. */
const LITERAL_TIME = '2026-01-01T00:00:00.000Z';

function withScriptName(command) {
  if (!command.startsWith('"EVAL" ')) return command;
  for (const [text, name] of scriptNames) {
    const quoted = JSON.stringify(text);
    if (command.startsWith(`"EVAL" ${quoted} `)) return `"EVAL" "{script:${name}}"${command.slice(quoted.length + 7)}`;
  }
  return command;
}

/** Lines of MONITOR, cut into scenarios at the marks that `ECHO` left. */
export function observed(lines) {
  const scenarios = new Map();
  let commands;
  for (const line of lines) {
    const [, connection, command] = /^\S+ \[\d+ (\S+?)\] (.*)$/.exec(line);
    const mark = MARK.exec(command);
    if (mark) scenarios.set(mark[1], (commands = []));
    // Newer servers show the prologue of a connection.
    else if (!/^"(CLIENT|HELLO|COMMAND)"/i.test(command)) commands?.push({ connection, command: withScriptName(command) });
  }
  return scenarios;
}

/** Values that differ from run to run get numbers by first use; equal values get equal numbers. */
function masked(commands) {
  const numbers = { u: new Map(), t: new Map(), id: new Map() };
  const name = kind => value => {
    if (value === LITERAL_TIME) return value;
    if (!numbers[kind].has(value)) numbers[kind].set(value, `{${kind}${numbers[kind].size + 1}}`);
    return numbers[kind].get(value);
  };
  const mask = text =>
    text
      .replace(/\{u\d+\}/g, name('u'))
      .replace(UUID, name('u'))
      .replace(/\{t\d+\}/g, name('t'))
      .replace(TIME, name('t'))
      .replace(/\{id\d+\}/g, name('id'))
      .replace(ENTRY, name('id'));
  return commands.map(({ connection, command }) => `${connection} ${mask(command)}`);
}

const isRead = command => command.startsWith('"XREADGROUP"') || command.startsWith('"XPENDING"');
const isAck = command => command.startsWith('"XACK"');

/** Acknowledgements in the order of the entries; of one entry in that of the groups. */
function inEntryOrder(acks) {
  const entry = ({ command }) => (/"(?:\{id)?(\d+)(?:-(\d+)|\})"$/.exec(command) ?? []).slice(1).map(part => BigInt(part ?? 0));
  const compare = (a, b) => (a < b ? -1 : Number(a > b));
  return acks.sort((a, b) => {
    const [[aTime, aNumber], [bTime, bNumber]] = [entry(a), entry(b)];
    return compare(aTime, bTime) || compare(aNumber, bNumber) || compare(a.command, b.command);
  });
}

/**
 * The commands of one scenario in an order that does not depend on who was faster: connection by connection, in the order in
 * which they turn up; of repeated reads only the first since the start (`before` collects them); acknowledgements last, because
 * they wait for answers that other connections may overtake.
 */
function ordered(commands, connections, before) {
  const lines = new Map();
  for (const { connection, command } of commands) {
    if (isRead(command) && before.has(`${connection} ${command}`)) continue;
    before.add(`${connection} ${command}`);
    // A script is told by the line above its commands; whose connection that is does not matter to them.
    if (connection !== 'lua' && !connections.has(connection)) connections.set(connection, `c${connections.size + 1}`);
    const key = connection === 'lua' ? [...lines.keys()].at(-1) : connection;
    lines.set(key, [...(lines.get(key) ?? []), { connection: connections.get(connection) ?? 'lua', command }]);
  }
  const parted = own => [...own.filter(one => !isAck(one.command)), ...inEntryOrder(own.filter(one => isAck(one.command)))];
  return [...lines.values()].flatMap(parted);
}

/** The comparable form of all scenarios: number → lines. */
export function comparable(scenarios) {
  const connections = new Map();
  const before = new Set();
  return new Map([...scenarios].map(([number, commands]) => [number, masked(ordered(commands, connections, before))]));
}
