import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeAcmeClient } from '../../../test/support/acme-client.ts';
import { challengeOf } from '../../../test/support/acme-flow.ts';
import { openAcmeLab } from '../../../test/support/acme-lab.ts';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { makeNameResolver } from '../../platform/network/name-resolver.ts';
import { parseOutsidePolicy } from '../../platform/network/outside-policy.ts';
import { chooseChallenge, deactivateAuthorization, findAuthorization } from './authorization-store.ts';
import { KnownAccounts } from './known-accounts.ts';
import { noChaos } from './chaos.ts';
import { makeAcmeUrls } from './urls.ts';
import { Validator } from './validator.ts';
import { takeDueValidations } from './authorization-store.ts';
import { HOUR_MS, MINUTE_MS } from '../../core/time/instant.ts';

/** A lab with an authorization whose challenge was chosen by a process that ended before it looked. */
async function abandoned(url: string) {
  const lab = await openAcmeLab(url);
  const client = await makeAcmeClient(lab.base, lab.rootFile);
  await client.register();
  const order = await client.order(['a.localhost']);
  const shown = (await client.post(order.json.authorizations[0], null)).json;
  const { token } = challengeOf(shown, 'http-01');
  lab.answers.set(`/.well-known/acme-challenge/${token}`, `${token}.${client.thumbprint()}`);
  const id = String(order.json.authorizations[0]).split('/').at(-1) as `authorization_${string}`;
  const { database } = lab.ca;
  const now = lab.clock.now();
  const dueAt = now + MINUTE_MS;
  assert.equal(await database.commit((unit) => chooseChallenge(unit.queries, id, { challenge: 'http-01', dueAt }, now)), true);
  const rate = { burst: 100, periodMs: HOUR_MS };
  const make = () =>
    new Validator({
      database,
      accounts: new KnownAccounts(database),
      settings: {
        externalAccountRequired: false,
        termsOfService: null,
        caaIdentities: [],
        challenges: ['http-01'],
        limits: { accountsPerAddress: rate, ordersPerAccount: rate, ordersPerName: rate },
        ports: { http: lab.webPort, tls: 443 },
      },
      urls: makeAcmeUrls(lab.base),
      chaos: noChaos,
      clock: lab.clock,
      log: (level, event) => assert.fail(`${level} ${event}`),
      resolver: makeNameResolver([]),
      policy: parseOutsidePolicy([`127.0.0.0/8:${lab.webPort}`], () => []),
      pausesMs: [0],
    });
  const status = async () => (await findAuthorization(database.queries, id))?.status;
  return { lab, id, now, dueAt, make, status, [Symbol.asyncDispose]: () => lab[Symbol.asyncDispose]() };
}

forEachDatabase('the validator of ACME', (newUrl) => {
  test('takes up what an ended process left, once its lease is over', async () => {
    await using left = await abandoned(await newUrl());
    const validator = left.make();
    await validator.resume(left.now);
    await validator[Symbol.asyncDispose]();
    assert.equal(await left.status(), 'pending', 'the lease of the other still holds');
    const next = left.make();
    const authorization = await findAuthorization(left.lab.ca.database.queries, left.id);
    await next.resume(left.dueAt + 1);
    // In the same turn: what was resumed cannot be done yet.
    await next.start({ ...authorization!, challenge: 'http-01' });
    assert.equal(await left.status(), 'valid');
    assert.equal(left.lab.asked.length, 1, 'joined, not done twice');
    await next[Symbol.asyncDispose]();
  });

  test('of two processes that come for it one takes it', async () => {
    await using left = await abandoned(await newUrl());
    const { database } = left.lab.ca;
    const take = () => database.commit((unit) => takeDueValidations(unit.queries, left.dueAt + 1, left.dueAt + MINUTE_MS, 10));
    const taken = await Promise.all([take(), take()]);
    assert.deepEqual(taken.map(({ length }) => length).toSorted(), [0, 1]);
  });

  test('does not bring back what was deactivated meanwhile', async () => {
    await using left = await abandoned(await newUrl());
    const { database } = left.lab.ca;
    const authorization = await findAuthorization(database.queries, left.id);
    await database.commit((unit) => deactivateAuthorization(unit.queries, left.id));
    await using validator = left.make();
    await validator.start({ ...authorization!, challenge: 'http-01' });
    assert.equal(await left.status(), 'deactivated');
    assert.deepEqual(left.lab.ca.entriesOf('acme-authorization.validated'), []);
  });
});
