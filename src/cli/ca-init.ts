import { authorityKeyTypes, type AuthorityKeyType } from '../control/ca/create-authority-pair.ts';
import { systemClock } from '../platform/clock/clock.ts';
import { readServerConfig } from '../platform/config/server-config.ts';
import { openOrMakeAuthorities, openState } from '../server/open-state.ts';
import { Problem } from '../core/problems/problem.ts';
import { listAuthorities } from '../control/ca/authority-store.ts';
import { neededOption, type Run, textOption, UsageError } from './command.ts';

/** `countersign ca init`: works on the database itself, before the first `server`. */
export const run: Run = async (invocation) => {
  const config = readServerConfig(neededOption(invocation, 'config'));
  const keyType = textOption(invocation, 'keyType') ?? authorityKeyTypes[0];
  if (!isKeyType(keyType)) throw new UsageError(`--key-type is ${keyType}, expected one of ${authorityKeyTypes.join(', ')}`);
  await using state = await openState({ config, clock: systemClock });
  if ((await listAuthorities(state.database.queries)).length > 0)
    throw new Problem('state-conflict', 'Cannot initialize authorities: there are some already, expected an empty database');
  const { roots, issuing } = await openOrMakeAuthorities(state, config, systemClock, keyType);
  const answer = { root: roots[0]!.spkiSha256, issuing: issuing[0]!.keySha256, keyType };
  invocation.output.answer(answer, () => [`root ${answer.root}`, `issuing authority ${answer.issuing}`]);
  return 'ok';
};

function isKeyType(word: string): word is AuthorityKeyType {
  return (authorityKeyTypes as readonly string[]).includes(word);
}
