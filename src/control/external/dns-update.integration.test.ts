import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Bind, bindProgram, startBind } from '../../../test/support/bind.ts';
import { type ExternalLab, openExternalLab } from '../../../test/support/external-lab.ts';
import { pebbleProgram, startPebble } from '../../../test/support/pebble.ts';
import { HOUR_MS } from '../../core/time/instant.ts';
import type { DnsUpdate } from './external-authority.ts';
import { updateRecord, zoneOf } from './dns-update.ts';

const skip = bindProgram === null && process.env['CI'] !== 'true' ? 'no BIND here' : false;
const of = { directoryUrl: 'https://ca.example/directory', anchorsPem: null, rootsPem: null } as const;
const name = '_acme-challenge.acme.test';

describe('dns-01 by updates of the zone (RFC 2136), at BIND', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'countersign-dns-'));
  let bind: Bind;
  let lab: ExternalLab;
  before(async () => {
    bind = await startBind();
    lab = await openExternalLab(`sqlite:${join(folder, 'db.sqlite')}`);
  });
  after(async () => {
    await lab[Symbol.asyncDispose]();
    await bind[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** By a key of the server, bent by `change`. */
  async function declared(change: Partial<DnsUpdate> & { readonly secret?: string } = {}, key = bind.keys[0]!) {
    const { secret, keyName, algorithm } = { ...key, ...change };
    const { secret: _, ...bent } = change;
    const update = {
      host: '127.0.0.1',
      port: bind.port,
      zones: ['acme.test', 'deep.acme.test'],
      settleSeconds: 0,
      ...bent,
      keyName,
      algorithm,
    };
    const authority = await lab.declare({ ...of, challenge: { kind: 'dns-01', update } }, { name: 'bind', dnsKey: secret });
    return (action: 'present' | 'remove', value: string, at = name) =>
      updateRecord(lab.deps, { authority, update }, { action, name: at, value });
  }

  test('adds one value beside others and takes exactly that out again, twice without harm, under each algorithm', async () => {
    for (const key of bind.keys) {
      const update = await declared({}, key);
      await update('present', 'one');
      await update('present', 'two');
      await update('present', 'two');
      assert.deepEqual(await bind.texts(name), ['one', 'two']);
      await update('remove', 'one');
      await update('remove', 'one');
      assert.deepEqual(await bind.texts(name), ['two']);
      await update('remove', 'two');
      assert.deepEqual(await bind.texts(name), []);
    }
  });

  test('the longest zone that the name lies in is the one that is updated', async () => {
    const update = await declared();
    await update('present', 'deep', '_acme-challenge.deep.acme.test');
    assert.deepEqual(await bind.texts('_acme-challenge.deep.acme.test'), ['deep']);
    await update('remove', 'deep', '_acme-challenge.deep.acme.test');
    assert.equal(zoneOf({ zones: ['acme.test'] }, 'notacme.test'), null);
    assert.equal(zoneOf({ zones: ['acme.test', 'test'] }, 'acme.test'), 'acme.test');
  });

  test('is refused by the server: another secret, an unknown key, a name that the key may not change, a zone that it has not', async () => {
    const cases: readonly (readonly [Parameters<typeof declared>[0], string, RegExp])[] = [
      [{ secret: Buffer.alloc(32).toString('base64') }, name, /not genuine.*NOTAUTH/],
      [{ keyName: 'nobody' }, name, /not genuine.*NOTAUTH/],
      [{ algorithm: 'hmac-sha512' }, name, /not genuine.*NOTAUTH/],
      [{}, 'www.acme.test', /REFUSED/],
      [{ zones: ['example.test'] }, '_acme-challenge.example.test', /NOTAUTH/],
    ];
    for (const [change, at, detail] of cases) {
      const update = await declared(change);
      await assert.rejects(update('present', 'x', at), { kind: 'deferred', type: 'dns-update', message: detail }, String(detail));
    }
    const nowhere = await declared();
    await assert.rejects(nowhere('present', 'x', '_acme-challenge.other.example'), {
      kind: 'refused',
      message: /in none of the declared zones/,
    });
    assert.deepEqual(await bind.texts(name), []);
  });

  test('a clock that is wrong by an hour is found out', async () => {
    const update = await declared();
    lab.advance(HOUR_MS);
    await assert.rejects(update('present', 'x'), { type: 'dns-update', message: /BADTIME/ });
    lab.advance(-HOUR_MS);
    await update('present', 'x');
    await update('remove', 'x');
  });

  test('a server outside the permitted addresses, one that is silent, and one that answers too much are given up', async () => {
    const elsewhere = await declared({ host: '192.0.2.1' });
    await assert.rejects(elsewhere('present', 'x'), { kind: 'deferred', message: /^dns-update: policy: / });
    const gone = await declared({ port: 1 });
    await assert.rejects(gone('present', 'x'), { kind: 'deferred', message: /^dns-update: connection: / });
    for (const answer of [Buffer.alloc(0), Buffer.from('ffff00', 'hex'), Buffer.from('000c', 'hex')]) {
      await using server = createServer(
        (socket) =>
          void socket
            .on('error', () => undefined)
            .resume()
            .end(answer),
      );
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const strange = await declared({ port: (server.address() as AddressInfo).port });
      await assert.rejects(strange('present', 'x'), { kind: 'deferred', message: /gave no answer/ });
    }
  });

  test('no key, no updates; the key is in no log and no answer', async () => {
    const update = {
      host: 'ns.acme.test',
      port: 53,
      zones: ['acme.test'],
      keyName: 'k',
      algorithm: 'hmac-sha256',
      settleSeconds: 0,
    } as const;
    const challenge = { kind: 'dns-01', update } as const;
    const invalid = { code: 'input-invalid' };
    await assert.rejects(lab.declare({ ...of, challenge }, { name: 'keyless' }), invalid);
    for (const dnsKey of ['short', 'not base64!', Buffer.alloc(15).toString('base64'), Buffer.alloc(513).toString('base64')])
      await assert.rejects(lab.declare({ ...of, challenge }, { name: 'keyless', dnsKey }), invalid, dnsKey);
    await assert.rejects(lab.declare(of, { name: 'keyless', dnsKey: bind.keys[0]!.secret }), invalid, 'a key without updates');
    for (const bad of [{ keyName: 'a..b' }, { zones: ['*.acme.test'] }, { host: 'a b' }])
      await assert.rejects(
        lab.declare(
          { ...of, challenge: { ...challenge, update: { ...update, ...bad } } },
          { name: 'keyless', dnsKey: bind.keys[0]!.secret },
        ),
        { code: 'identity-malformed' },
        JSON.stringify(bad),
      );
    await declared();
    assert.ok(!JSON.stringify(lab.ca.entries).includes(bind.keys[0]!.secret));
  });

  const both = skip || (pebbleProgram === null && process.env['CI'] !== 'true' ? 'no Pebble here' : false);
  test('a wildcard beside its base, from a CA that asks BIND, the records removed again', { skip: both }, async () => {
    await using pebble = await startPebble({ dns: bind.address, httpPort: lab.httpPort });
    const { directoryUrl, anchorsPem } = pebble;
    const { keyName, algorithm, secret } = bind.keys[2]!;
    const update = { host: '127.0.0.1', port: bind.port, zones: ['acme.test'], keyName, algorithm, settleSeconds: 0 };
    const authority = await lab.declare(
      { directoryUrl, anchorsPem, rootsPem: await pebble.rootPem(), challenge: { kind: 'dns-01', update } },
      { name: 'by-updates', dnsKey: secret },
    );
    const order = await lab.drive(await lab.request(authority, ['*.acme.test', 'acme.test']));
    assert.equal(order.status, 'issued', order.detail ?? '');
    assert.deepEqual(await bind.texts(name), []);
    assert.match(bind.said(), /adding an RR at '_acme-challenge\.acme\.test' TXT/);
  });
});
