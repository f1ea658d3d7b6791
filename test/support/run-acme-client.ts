/** `run-acme-client.ts DIRECTORY-URL NAME FOLDER`: the client of npm gets a certificate by http-01 and prints the chain. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as acme from 'acme-client';

const [directoryUrl = '', name = '', folder = ''] = process.argv.slice(2);
const client = new acme.Client({ directoryUrl, accountKey: await acme.crypto.createPrivateEcdsaKey() });
const [, csr] = await acme.crypto.createCsr({ altNames: [name] }, await acme.crypto.createPrivateEcdsaKey());
const chain = await client.auto({
  csr,
  termsOfServiceAgreed: true,
  skipChallengeVerification: true,
  challengePriority: ['http-01'],
  challengeCreateFn: async (_authorization, challenge, keyAuthorization) => writeFile(join(folder, challenge.token), keyAuthorization),
  challengeRemoveFn: async () => undefined,
});
process.stdout.write(chain);
