import { trustDomainOf, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import { parseTrustDomain, type TrustDomain } from '../../core/identity/trust-domain.ts';
import { Problem } from '../../core/problems/problem.ts';
import { parseBundleDocument } from '../../core/spiffe/parse-bundle-document.ts';
import type { FederatedDomainDeclaration } from './declaration.ts';
import type { Fields } from './declaration-fields.ts';
import type { BundleEndpoint } from './record.ts';
import { anchorsForm, bundleUrlForm, spiffeIdForm, trustDomainForm } from './text-forms.ts';

/** A trust domain of others, where its bundle is fetched and who has to serve it. */
export function readFederatedDomain(fields: Fields): FederatedDomainDeclaration {
  const trustDomain = parseTrustDomain(fields.text('trustDomain', trustDomainForm));
  const url = fields.text('url', bundleUrlForm);
  const profile = fields.word('profile', ['https_web', 'https_spiffe']);
  return {
    kind: 'FederatedTrustDomain',
    trustDomain,
    url,
    endpoint: profile === 'https_web' ? readWeb(fields) : readSpiffe(fields, trustDomain),
  };
}

function readWeb(fields: Fields): BundleEndpoint {
  for (const key of ['endpointSpiffeId', 'bundle']) {
    if (fields.has(key)) throw fields.fail(key, 'something', 'nothing with the profile https_web');
  }
  return { kind: 'https_web', anchorsPem: fields.has('anchorsPem') ? fields.text('anchorsPem', anchorsForm) : null };
}

function readSpiffe(fields: Fields, trustDomain: TrustDomain): BundleEndpoint {
  if (fields.has('anchorsPem')) throw fields.fail('anchorsPem', 'something', 'nothing with the profile https_spiffe');
  const spiffeId = fields.text('endpointSpiffeId', spiffeIdForm) as SpiffeId;
  // The trust domain is that of the endpoint (SPIFFE Trust Domain and Bundle section 5.2.2): another one could hand out keys for it.
  if (trustDomainOf(spiffeId) !== trustDomain) throw fields.fail('endpointSpiffeId', spiffeId, `an identity of ${trustDomain}`);
  const bundle = fields.text('bundle', {
    expected: 'a SPIFFE bundle document (JSON)',
    parse: (text) => text.trim(),
  });
  const authorities = readAuthorities(fields, bundle, trustDomain);
  if (authorities === 0) throw fields.fail('bundle', 'no authority', 'at least one: nobody could prove to be the endpoint');
  return { kind: 'https_spiffe', spiffeId, bundle };
}

function readAuthorities(fields: Fields, bundle: string, trustDomain: TrustDomain): number {
  try {
    return parseBundleDocument(bundle, trustDomain).authorities.length;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    throw fields.fail('bundle', error.message.slice(0, 300), 'a SPIFFE bundle document (JSON)');
  }
}
