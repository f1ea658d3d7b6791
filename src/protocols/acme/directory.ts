import { type AcmeAnswer, jsonAnswer } from './answer.ts';
import type { AcmeDeps } from './deps.ts';
import { profilesOf } from './profiles.ts';

/** What works here, and nothing else (RFC 8555 section 7.1.1). */
export function answerDirectory({
  urls,
  settings,
  authorities,
  place,
}: Pick<AcmeDeps, 'urls' | 'settings' | 'authorities' | 'place'>): AcmeAnswer {
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
        profiles: Object.fromEntries(profilesOf({ authorities, environment: place.environment })),
      },
    },
    { 'cache-control': 'public, max-age=0, no-cache' },
  );
}
