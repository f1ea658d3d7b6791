import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseServerConfig } from './server-config.ts';

const minimal = 'dataDirectory: data\nkeyFile: kek\ntrustDomain: acme.example\n';

test('parseServerConfig() takes the three keys that have no default', () => {
  const config = parseServerConfig(minimal, '/srv');
  assert.equal(config.dataDirectory, '/srv/data');
  assert.deepEqual(config.key, { kind: 'file', path: '/srv/kek' });
  assert.equal(config.database, 'sqlite:/srv/data/countersign.sqlite');
  assert.deepEqual(config.listen.admin, { host: '127.0.0.1', port: 8443 });
  assert.equal(config.network.permits('127.0.0.1'), true);
  assert.equal(config.network.permits('10.0.0.1'), false);
});

test('parseServerConfig() refuses what it does not know or cannot use', () => {
  const cases = [
    ['an unknown key', `${minimal}colour: red\n`],
    ['an unknown inner key', `${minimal}listen: {admim: "127.0.0.1:1"}\n`],
    ['a missing trust domain', 'dataDirectory: data\nkeyFile: kek\n'],
    ['two key sources', `${minimal}passphraseFile: p\n`],
    ['no key source', 'dataDirectory: data\ntrustDomain: acme.example\n'],
    ['an address with a name', `${minimal}listen: {admin: "localhost:1"}\n`],
    ['a foreign database', `${minimal}database: mysql://x\n`],
    ['an environment with a slash', `${minimal}environment: a/b\n`],
    ['ranges that are no list', `${minimal}network: {allow: 10.0.0.0/8}\n`],
    ['a repeated key', `${minimal}keyFile: other\n`],
    ['a list at the top', '- a\n'],
    ['broken YAML', 'a: [\n'],
    ['a number for text', `${minimal}region: 7\n`],
    ['a public URL with TLS', `${minimal}publicUrl: https://x\n`],
    ['a public URL with a path', `${minimal}publicUrl: http://x/y\n`],
    ['a public URL that is none', `${minimal}publicUrl: x\n`],
    ['an unknown log level', `${minimal}logLevel: loud\n`],
  ] as const;
  for (const [name, text] of cases) assert.throws(() => parseServerConfig(text, '/srv'), { code: 'input-invalid' }, name);
});

test('parseServerConfig() refuses a trust domain that SPIFFE refuses', () => {
  assert.throws(() => parseServerConfig('dataDirectory: d\nkeyFile: k\ntrustDomain: ACME\n', '/srv'), { code: 'identity-malformed' });
});

const acme = `${minimal}listen: {acme: "127.0.0.1:8445"}\n`;

test('parseServerConfig() serves ACME only where listen.acme says where, validating in private ranges alone', () => {
  assert.equal(parseServerConfig(minimal, '/srv').acme, null);
  const config = parseServerConfig(acme, '/srv').acme;
  assert.deepEqual(config?.listen, { host: '127.0.0.1', port: 8445 });
  assert.deepEqual(config?.validation.allow, ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']);
  assert.deepEqual([config?.validation.httpPort, config?.validation.tlsPort, config?.chaos], [80, 443, false]);
  assert.deepEqual(config?.limits.ordersPerName, { burst: 100, periodMs: 3_600_000 });
  const deep = parseServerConfig(
    `${acme}acme:\n  validation: {allow: ["127.0.0.0/8:5002"], httpPort: 5002}\n  limits: {ordersPerName: 5/10m}\n`,
    '/srv',
  );
  assert.deepEqual(deep.acme?.validation.allow, ['127.0.0.0/8:5002']);
  assert.deepEqual(deep.acme?.limits.ordersPerName, { burst: 5, periodMs: 600_000 });
});

test('parseServerConfig() serves EST and SCEP only where listen says where', () => {
  const none = parseServerConfig(minimal, '/srv');
  assert.deepEqual([none.est, none.scep], [null, null]);
  const est = `${minimal}listen: {est: "127.0.0.1:8445", scep: "127.0.0.1:8447"}\n`;
  const usual = { serverNames: [], profile: 'server', bound: [], retryAfterMs: 60_000 };
  assert.deepEqual(parseServerConfig(est, '/srv').est, { listen: { host: '127.0.0.1', port: 8445 }, ...usual });
  assert.deepEqual(parseServerConfig(est, '/srv').scep, { listen: { host: '127.0.0.1', port: 8447 }, legacyUntil: null });
  const all = `${est}est: {serverNames: [est.acme.example], profile: device, bound: ["", staging.device], retryAfter: 2h}\nscep: {legacyUntil: "2027-06-30"}\n`;
  const { est: bound, scep } = parseServerConfig(all, '/srv');
  assert.deepEqual(
    [bound?.serverNames, bound?.profile, bound?.bound, bound?.retryAfterMs],
    [['est.acme.example'], 'device', ['', 'staging.device'], 7_200_000],
  );
  assert.equal(scep?.legacyUntil, Date.UTC(2027, 5, 30));
  const cases = [
    ['EST without a place', `${minimal}est: {profile: device}\n`],
    ['SCEP without a place', `${minimal}scep: {legacyUntil: "2027-06-30"}\n`],
    ['places that are no text', `${minimal}listen: {est: 8445}\n`],
    ['SCEP at what is no text', `${minimal}listen: {scep: 8447}\n`],
    ['a profile that is none', `${est}est: {profile: "A b"}\n`],
    ['names that are no list', `${est}est: {serverNames: est.acme.example}\n`],
    ['labels that are no texts', `${est}est: {bound: [1]}\n`],
    ['a wait without a unit', `${est}est: {retryAfter: 10}\n`],
    ['no wait', `${est}est: {retryAfter: 0s}\n`],
    ['an unknown key', `${est}est: {colour: red}\n`],
    ['a date that is none', `${est}scep: {legacyUntil: "2027-06-31x"}\n`],
    ['a year', `${est}scep: {legacyUntil: 2027}\n`],
  ] as const;
  for (const [name, text] of cases) assert.throws(() => parseServerConfig(text, '/srv'), { code: 'input-invalid' }, name);
});

test('parseServerConfig() serves CMP only where listen.cmp says where', () => {
  assert.equal(parseServerConfig(minimal, '/srv').cmp, null);
  const cmp = `${minimal}listen: {cmp: "127.0.0.1:8446"}\n`;
  assert.deepEqual(parseServerConfig(cmp, '/srv').cmp, { listen: { host: '127.0.0.1', port: 8446 }, confirmWithinMs: 600_000 });
  assert.equal(parseServerConfig(`${cmp}cmp: {confirmWithin: 90s}\n`, '/srv').cmp?.confirmWithinMs, 90_000);
  const cases = [
    ['CMP without a place', `${minimal}cmp: {confirmWithin: 5m}\n`],
    ['an address with a name', `${minimal}listen: {cmp: "localhost:1"}\n`],
    ['a place that is no text', `${minimal}listen: {cmp: 8446}\n`],
    ['an unknown key', `${cmp}cmp: {colour: red}\n`],
    ['no time at all', `${cmp}cmp: {confirmWithin: 0m}\n`],
    ['a number', `${cmp}cmp: {confirmWithin: 10}\n`],
    ['more than a day', `${cmp}cmp: {confirmWithin: 25h}\n`],
  ] as const;
  for (const [name, text] of cases) assert.throws(() => parseServerConfig(text, '/srv'), { code: 'input-invalid' }, name);
});

test('parseServerConfig() refuses what ACME could not use', () => {
  const cases = [
    ['ACME without a place', `${minimal}acme: {chaos: true}\n`],
    ['an address with a name', `${minimal}listen: {acme: "localhost:1"}\n`],
    ['an unknown key', `${acme}acme: {colour: red}\n`],
    ['an unknown inner key', `${acme}acme: {validation: {alow: []}}\n`],
    ['a fourth level', `${acme}acme: {validation: {allow: {a: b}}}\n`],
    ['an external URL without TLS', `${acme}acme: {externalUrl: "http://ca.example"}\n`],
    ['an external URL with a path', `${acme}acme: {externalUrl: "https://ca.example/x"}\n`],
    ['an external URL with a user', `${acme}acme: {externalUrl: "https://u@ca.example"}\n`],
    ['terms that are no URL', `${acme}acme: {termsOfService: terms}\n`],
    ['a word for a truth', `${acme}acme: {externalAccountRequired: "yes"}\n`],
    ['a range that is none', `${acme}acme: {validation: {allow: [everywhere]}}\n`],
    ['a port that is none', `${acme}acme: {validation: {httpPort: 0}}\n`],
    ['a port as text', `${acme}acme: {validation: {httpPort: "80"}}\n`],
    ['servers that are no list', `${acme}acme: {validation: {dnsServers: 127.0.0.1}}\n`],
    ['a rate of nothing', `${acme}acme: {limits: {ordersPerName: 0/1h}}\n`],
    ['a rate without a period', `${acme}acme: {limits: {ordersPerName: "5"}}\n`],
  ] as const;
  for (const [name, text] of cases) assert.throws(() => parseServerConfig(text, '/srv'), { code: 'input-invalid' }, name);
});
