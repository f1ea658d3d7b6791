import { isIP } from 'node:net';
import { parseIpAddress } from '../core/identity/ip-address.ts';
import { controlPlaneSpiffeId } from '../core/identity/spiffe-id.ts';
import { parseNameConstraints } from '../core/issuance/parse-name-constraints.ts';
import { noNames } from '../core/x509/general-name.ts';
import { breaksNameConstraints, type NamedCertificate } from '../core/x509/match-name-constraints.ts';
import { buildName } from '../core/x509/name.ts';
import { authorityKeyTypes, type AuthorityKeyType } from '../control/ca/create-authority-pair.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { readServerConfig, type ServerConfig } from '../platform/config/server-config.ts';
import { openOrMakeAuthorities, openState } from '../server/open-state.ts';
import { Problem } from '../core/problems/problem.ts';
import { listAuthorities } from '../control/ca/authority-store.ts';
import { type Invocation, neededOption, type Run, textOption, UsageError } from './command.ts';

/** `countersign ca init`: works on the database itself, before the first `server`. */
export const run: Run = async (invocation) => {
  const config = readServerConfig(neededOption(invocation, 'config'));
  const keyType = textOption(invocation, 'keyType') ?? authorityKeyTypes[0];
  if (!isKeyType(keyType)) throw new UsageError(`--key-type is ${keyType}, expected one of ${authorityKeyTypes.join(', ')}`);
  const nameConstraints = parseNameConstraints(listOption(invocation, 'permit'), listOption(invocation, 'exclude'));
  const refused = nameConstraints && breaksNameConstraints(ownCertificate(config), nameConstraints, { left: 10_000 });
  if (refused !== null)
    throw new UsageError(
      `the constraints refuse the control plane's own certificate (${refused}): permit localhost and its listen addresses too`,
    );
  await using state = await openState({ config, clock: systemClock });
  if ((await listAuthorities(state.database.queries)).length > 0)
    throw new Problem('state-conflict', 'Cannot initialize authorities: there are some already, expected an empty database');
  const { roots, issuing } = await openOrMakeAuthorities(state, config, systemClock, { keyType, nameConstraints });
  const answer = { root: roots[0]!.spkiSha256, issuing: issuing[0]!.keySha256, keyType };
  invocation.output.answer(answer, () => [`root ${answer.root}`, `issuing authority ${answer.issuing}`]);
  return 'ok';
};

/** The names that the control plane always has; those of its listeners are in its configuration. */
function ownCertificate({ trustDomain, environment, listen }: ServerConfig): NamedCertificate {
  const hosts = ['localhost', listen.admin.host, listen.dataPlane.host];
  const dns = hosts.filter((host) => isIP(host) === 0);
  const ip = hosts.filter((host) => isIP(host) !== 0).map(parseIpAddress);
  return { subject: buildName([]), subjectAltNames: { ...noNames, dns, ip, uri: [controlPlaneSpiffeId(trustDomain, environment)] } };
}

function listOption(invocation: Invocation, name: string): readonly string[] {
  return (textOption(invocation, name) ?? '').split(',').filter((text) => text !== '');
}

function isKeyType(word: string): word is AuthorityKeyType {
  return (authorityKeyTypes as readonly string[]).includes(word);
}
