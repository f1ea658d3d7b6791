import type { Fields } from './declaration-fields.ts';
import { type ExternalServer, oldTlsVersions, pinnings, revocationChecks, unknownStatuses } from './record.ts';
import { anchorsForm, dateForm, dnsNameForm, pinForm, rangeForm } from './text-forms.ts';

/** A server outside of the trust domain, with what is demanded of it. */
export function readExternal(fields: Fields): ExternalServer {
  const serverName = fields.text('serverName', dnsNameForm);
  const anchorsPem = fields.text('anchorsPem', anchorsForm);
  const pins = fields.texts('pins', pinForm);
  // A single pin is an outage on the day its key is replaced.
  if (pins.length === 1 || pins.length > MAXIMUM_PINS) {
    throw fields.fail('pins', `${pins.length} pins`, `2 to ${MAXIMUM_PINS}: one of them is the backup, a key that is not in use`);
  }
  for (const key of ['pinning', 'pinsForcedUntil']) {
    if (fields.has(key) && pins.length === 0) throw fields.fail(key, 'a word about pins', 'pins too');
  }
  const terms = {
    oldTls: fields.has('oldTls') ? fields.word('oldTls', oldTlsVersions) : null,
    pins: pins.toSorted(),
    pinning: fields.has('pinning') ? fields.word('pinning', pinnings) : 'observe',
    pinsForcedUntil: fields.has('pinsForcedUntil') ? Number(fields.text('pinsForcedUntil', dateForm)) : null,
    showsCertificate: fields.flag('showsCertificate'),
    showsHeldCertificate: fields.flag('showsHeldCertificate'),
    ...readRevocation(fields),
  } as const;
  if (terms.showsCertificate && terms.showsHeldCertificate) {
    throw fields.fail('showsHeldCertificate', 'a second certificate', 'showsCertificate or this');
  }
  fields.end();
  return { serverName, anchorsPem, terms };
}

/** What becomes of a server of whom nobody knows is said, never assumed: either answer is an outage or a hole to somebody. */
function readRevocation(fields: Fields): Pick<ExternalServer['terms'], 'revocation' | 'revocationUnknown' | 'revocationFrom'> {
  const revocation = fields.has('revocation') ? fields.word('revocation', revocationChecks) : 'off';
  const keys = ['revocationUnknown', 'revocationFrom'] as const;
  if (revocation === 'off') {
    for (const key of keys) if (fields.has(key)) throw fields.fail(key, 'a word about a check', 'revocation observe or enforce too');
    return { revocation, revocationUnknown: 'accept', revocationFrom: [] };
  }
  const revocationFrom = fields.texts('revocationFrom', rangeForm);
  if (revocationFrom.length > MAXIMUM_RANGES)
    throw fields.fail('revocationFrom', `${revocationFrom.length} ranges`, `at most ${MAXIMUM_RANGES}`);
  return { revocation, revocationUnknown: fields.word('revocationUnknown', unknownStatuses), revocationFrom };
}

const MAXIMUM_RANGES = 100;
const MAXIMUM_PINS = 20;
