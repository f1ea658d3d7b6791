import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { makeAcmeClient } from '../../../test/support/acme-client.ts';
import { challengeOf, settled } from '../../../test/support/acme-flow.ts';
import { openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { startDnsServer } from '../../../test/support/dns-server.ts';
import { MINUTE_MS } from '../../core/time/instant.ts';
import { acmeChallengeNames } from '../../platform/config/acme-config.ts';
import { accountLabel } from './prove-by-account-label.ts';

const txt = (text: string) => ({ type: 'TXT', text }) as const;

forEachDatabase('challenges of drafts', (newUrl) => {
  test('a wildcard is proved by a record that stays, for no longer than it says; nothing of it is offered unasked', async () => {
    await using zone = await startDnsServer();
    const validation = { dnsServers: [zone.address] };
    await using lab = await openAcmeLab(await newUrl(), {
      acme: { challenges: acmeChallengeNames, caaIdentities: ['ca.example'], validation },
    });
    const client = await makeAcmeClient(lab.base, lab.rootFile);
    await client.register();
    const [first] = (await client.order(['*.p.example'])).json.authorizations as string[];
    const shown = (await client.post(first!, null)).json;
    assert.deepEqual(
      shown.challenges.map(({ type }: { readonly type: string }) => type),
      ['dns-01', 'dns-account-01', 'dns-persist-01'],
    );
    const persist: any = challengeOf(shown, 'dns-persist-01');
    assert.deepEqual([persist['issuer-domain-names'], persist.accounturi, persist.token], [['ca.example'], client.kid(), undefined]);
    const end = Math.floor(lab.clock.now() / 1_000) + 600;
    zone.records.set('_validation-persist.p.example', [
      txt(`ca.example; accounturi=${client.kid()}; policy=wildcard; persistUntil=${end}`),
    ]);
    await client.post(persist.url, {});
    const proved = await settled(client, first!);
    assert.deepEqual([proved.status, Date.parse(proved.expires)], ['valid', end * 1_000]);
    lab.clock.advance(11 * MINUTE_MS);
    assert.equal((await client.post(first!, null)).json.status, 'expired');

    const [second] = (await client.order(['l.example'])).json.authorizations as string[];
    const account = challengeOf((await client.post(second!, null)).json, 'dns-account-01');
    const digest = createHash('sha256').update(`${account.token}.${client.thumbprint()}`).digest('base64url');
    zone.records.set(`${accountLabel(client.kid())}._acme-challenge.l.example`, [txt(digest)]);
    await client.post(account.url, {});
    assert.equal((await settled(client, second!)).status, 'valid');

    const [address] = (await client.order(['127.0.0.1'])).json.authorizations as string[];
    const types = (await client.post(address!, null)).json.challenges.map(({ type }: { readonly type: string }) => type);
    assert.deepEqual(types, ['http-01', 'tls-alpn-01'], 'an address is never proved in the DNS');
    for (const type of ['dns-persist-01', 'dns-account-01', 'dns-02']) {
      assert.equal((await client.post(String(address).replace('authorization', 'challenge') + `/${type}`, {})).status, 404, type);
    }
  });
});
