/**
 * Holds the documents against the tables in the code: reference pages are made from them (`--write` renews them), and no page
 * may name a command, error code or metric that does not exist. Exits 1 and names each difference.
 */
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { commands, groups } from '../src/cli/commands.ts';
import { exitCodes } from '../src/cli/exit-codes.ts';
import { postureRules, severities } from '../src/core/findings/posture-rules.ts';
import { demands } from '../src/core/render/demands.ts';
import { examinedVersionOf, proxyKinds } from '../src/core/render/proxy-program.ts';
import { problems } from '../src/core/problems/codes.ts';
import { refusalReasons } from '../src/core/tls/refusal-reason.ts';
import { serverConfigKeys } from '../src/platform/config/server-config.ts';
import { metricTable } from '../src/platform/telemetry/metric-table.ts';
import { routes } from '../src/protocols/admin/routes.ts';

const root = join(import.meta.dirname, '..');
const made = '<!-- Made from the code by `npm run docs -- --write`. -->';

function line(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  return [line(heading), line(heading.map(() => '---')), ...rows.map(line)].join('\n');
}

const pages: { readonly [file: string]: string } = {
  'docs/reference/commands.md': [
    '# Commands',
    'A command that talks to a server takes `--server URL`, `--root FILE` and `--token-file FILE`, or COUNTERSIGN_SERVER, COUNTERSIGN_ROOT and COUNTERSIGN_TOKEN_FILE. Every command takes `--json`: one document on stdout, errors as JSON on stderr.',
    table(
      ['exit code', 'meaning'],
      Object.values(exitCodes).map(({ code, meaning }) => [String(code), meaning]),
    ),
    ...commands.map(({ words, summary, options, arguments: given = [], example }) =>
      [
        `## \`countersign ${words}\``,
        summary,
        ...([...given, ...options].length === 0
          ? []
          : [
              table(
                ['argument or option', 'meaning'],
                [...given, ...options].map(([flags, meaning]) => [`\`${flags}\``, meaning]),
              ),
            ]),
        `\`\`\`sh\n${example}\n\`\`\``,
      ].join('\n\n'),
    ),
  ].join('\n\n'),
  'docs/reference/configuration.md': [
    '# Configuration of the control plane',
    "One YAML file, given by `--config`. An unknown key is an error. Relative paths are taken from the file's own directory.",
    table(
      ['key', 'default', 'meaning'],
      Object.entries(serverConfigKeys).map(([key, { default: value, meaning }]) => [`\`${key}\``, value ?? 'needed', meaning]),
    ),
  ].join('\n\n'),
  'docs/reference/rest.md': [
    '# REST API',
    'HTTPS with JSON. `Authorization: Bearer` carries a token; a role covers those that stand right of it in `admin > operator > ci`, `admin > auditor > viewer`, `operator > viewer`, `partner-manager > viewer`. A token covers all environments or some: lists are narrowed to them. Lists answer `{ "items": [] }`. Times are epoch milliseconds. Nothing is coerced, and an unknown key is refused; errors are in [error codes](errors.md).',
    table(
      ['route', 'role', 'what it does'],
      Object.values(routes).map((route) => [
        `\`${route.method} ${route.path}\``,
        'role' in route ? route.role : `public: ${route.public}`,
        route.summary,
      ]),
    ),
  ].join('\n\n'),
  'docs/reference/errors.md': [
    '# Error codes',
    'The REST API answers errors as `application/problem+json` (RFC 9457) with a `code` of this table; the CLI prints it in brackets.',
    table(
      ['code', 'HTTP status', 'meaning'],
      Object.entries(problems).map(([code, { status, meaning }]) => [`\`${code}\``, String(status), meaning]),
    ),
    '## Reasons of refused connections',
    "The word in telemetry, plans, drills and the proxies' log. The peer itself sees only a closed connection.",
    table(
      ['reason', 'meaning'],
      Object.entries(refusalReasons).map(([reason, meaning]) => [`\`${reason}\``, meaning]),
    ),
  ].join('\n\n'),
  'docs/reference/rules.md': [
    '# Rules of TLS endpoints',
    'What a scan of an endpoint is held against, the worst first. A rule of the policy is broken only by what that policy says.',
    table(
      ['rule', 'severity', 'what is found', 'clause', 'fix'],
      Object.entries(postureRules)
        .toSorted(([, a], [, b]) => severities.indexOf(a.severity) - severities.indexOf(b.severity))
        .map(([id, { severity, meaning, clause, fix }]) => [`\`${id}\``, severity, meaning, clause, fix]),
    ),
  ].join('\n\n'),
  'docs/reference/rendered-proxies.md': [
    '# What each proxy enforces',
    '`countersign policy render` writes configurations for proxies that others run. This is what becomes there of what a policy and an endpoint demand, and by which setting. **No** and **partly** are told on stderr and at the top of the file. Where the weight is *access* somebody would get in who should not: nothing is written then, until it was accepted by its name (`--accept`); with `--strict` that holds for all.',
    `Run and scanned by the tests: ${proxyKinds.map(examinedVersionOf).join(', ')}. What is said of other versions is from their documentation.`,
    'Not rendered at all: how certificates get there and are renewed, waves and gates, telemetry, retries, health checks and the other rules for replicas, draining. Handshakes below the policy are refused in every mode, where the native proxy lets them in while it observes.',
    table(
      ['demand', 'what it is', 'weight', ...proxyKinds],
      Object.entries(demands).map(([name, { meaning, weight, by }]) => [
        `\`${name}\``,
        meaning,
        weight,
        ...proxyKinds.map((kind) => by[kind].text),
      ]),
    ),
  ].join('\n\n'),
  'docs/reference/metrics.md': [
    '# Metrics',
    'OpenMetrics text at `/metrics` of the REST address, for tokens of the role viewer.',
    table(
      ['metric', 'kind', 'labels', 'meaning'],
      Object.entries(metricTable).map(([name, { kind, labels, help }]) => [`\`${name}\``, kind, labels.join(', '), help]),
    ),
  ].join('\n\n'),
};

function checkPages(write: boolean): string[] {
  const faults: string[] = [];
  for (const [file, body] of Object.entries(pages)) {
    const path = join(root, file);
    const text = `${made}\n\n${body}\n`;
    if (write) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } else if (!existsSync(path) || readFileSync(path, 'utf8') !== text) {
      faults.push(`${file} differs from the code (npm run docs -- --write)`);
    }
  }
  return faults;
}

/** Every `countersign …` in a code span or block must begin with a command or a group; every metric must exist. */
function checkMentions(): string[] {
  const words = new Set([...commands.map((command) => command.words), 'help']);
  // After a group comes one of its commands; after a command come its arguments.
  const known = (text: string): boolean => words.has(text) || words.has(text.split(' ')[0]!) || Object.hasOwn(groups, text);
  const faults: string[] = [];
  for (const file of globSync(['*.md', 'docs/**/*.md'], { cwd: root })) {
    const text = readFileSync(join(root, file), 'utf8');
    for (const [, rest] of text.matchAll(/(?:^|`|\$ |npx )countersign ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)/gm)) {
      if (!known(rest!)) faults.push(`${file}: countersign ${rest} is no command`);
    }
    for (const [name] of text.matchAll(/\bcountersign_[a-z_]+/g))
      if (!Object.hasOwn(metricTable, name)) faults.push(`${file}: ${name} is no metric`);
    for (const [, code] of text.matchAll(/\[([a-z]+(?:-[a-z]+)+)\](?!\()/g))
      if (!Object.hasOwn(problems, code!)) faults.push(`${file}: [${code}] is no error code`);
    for (const [, link] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      if (!existsSync(join(root, dirname(file), link!))) faults.push(`${file}: link to ${link}, which does not exist`);
    }
    for (const [, path] of text.matchAll(/`((?:src|test|tools|docs|demo|bench|bin)\/[^`\s*<>]+)`/g))
      if (!existsSync(join(root, path!))) faults.push(`${file}: ${path} does not exist`);
  }
  return faults;
}

/** A metric or an error code that nothing in src uses is a promise without a maker. */
function checkUse(): string[] {
  const sources = globSync('src/**/*.ts', { cwd: root })
    .filter((file) => !/(?:metric-table|problems\/codes|\.test)\.ts$/.test(file))
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
  const unused = [...Object.keys(metricTable), ...Object.keys(problems)].filter((name) => !sources.includes(`'${name}'`));
  const modules = commands.filter(
    ({ load }) => !existsSync(join(root, 'src/cli', /import\('\.\/([^']+)'\)/.exec(load.toString())?.[1] ?? 'none')),
  );
  return [...unused.map((name) => `nothing in src uses ${name}`), ...modules.map(({ words }) => `countersign ${words} has no module`)];
}

const write = process.argv.includes('--write');
const faults = [...checkPages(write), ...(write ? [] : [...checkMentions(), ...checkUse()])];
for (const fault of faults) console.error(fault);
console.log(faults.length === 0 ? 'documents: clean' : `documents: ${faults.length} differences`);
process.exitCode = faults.length === 0 ? 0 : 1;
