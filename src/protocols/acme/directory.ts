import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import type { AcmeDeps } from './deps.ts';
import { acmeProfiles } from './profiles.ts';

/** What works here, and nothing else (RFC 8555 section 7.1.1). */
export function answerDirectory({ urls, settings }: Pick<AcmeDeps, 'urls' | 'settings'>): AcmeAnswer {
  const { newNonce, newAccount, newOrder, revokeCert, keyChange, renewalInfo } = urls;
  const { termsOfService, caaIdentities, externalAccountRequired } = settings;
  return jsonAnswer(
    200,
    {
      newNonce,
      newAccount,
      newOrder,
      revokeCert,
      keyChange,
      renewalInfo,
      meta: {
        ...(termsOfService === null ? {} : { termsOfService }),
        ...(caaIdentities.length === 0 ? {} : { caaIdentities }),
        externalAccountRequired,
        profiles: Object.fromEntries(Object.entries(acmeProfiles).map(([name, { meaning }]) => [name, meaning])),
      },
    },
    { 'cache-control': 'public, max-age=0, no-cache' },
  );
}
