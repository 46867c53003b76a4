// How @sinch/sdk-core is pointed at a server: by its own options.
import { SinchClient } from '@sinch/sdk-core';
import { control, counting, est, projectId } from './postern.mjs';

/**
 * through makes a client with a key, and counts what it asks of the token
 * endpoint and of the gateway.
 */
export async function through(t, key, { slash = false } = {}) {
  const [tokens, calls] = [await counting(t, control), await counting(t, est)];
  const end = slash ? '/' : '';
  const client = new SinchClient({
    projectId,
    keyId: key.id,
    keySecret: key.secret,
    authHostname: tokens.url + end,
    elasticSipTrunkingHostname: calls.url + end,
    logger: null,
  });
  return { list: () => client.elasticSipTrunking.sipTrunks.list({}), tokens, calls };
}
