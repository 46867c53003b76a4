import { type Config, createAceBuilder, createConfig, createIceBuilder, createMenu, createPieBuilder, type DiceEvent, type FunctionContext, type IceEvent, type PieEvent, type VoiceEvent, type VoiceFunction } from '@postern/functions';

/** What is known of a call as long as it lasts. Whichever worker is given its next event finds it in the cache. */
interface Session {
  callid: string;
  from: string;
  since: string;
  state: 'choosing' | 'ringing' | 'talking';
  team?: 'sales' | 'support';
}

const HOUR = 3600; // no call lasts longer; a session whose end nobody told us of is over then
const key = (callid: string) => `call:${callid}`;

const menu = createMenu()
  .prompt('Press 1 for sales, or 2 for support.')
  .option('1', 'return(sales)')
  .option('2', 'return(support)')
  .build();

export default {
  async ice(context: FunctionContext, data: IceEvent) {
    const config = createConfig(context);
    if (!isOpen(config, new Date())) return createIceBuilder().answer().say(`We are open from ${config.requireVariable('OPENS')} to ${config.requireVariable('CLOSES')}. Goodbye.`).hangup().build();
    const session: Session = { callid: data.callid, from: data.cli ?? '', since: context.timestamp, state: 'choosing' };
    await context.cache.set(key(data.callid), session, HOUR);
    return createIceBuilder().answer().runMenu(menu).build();
  },

  async pie(context: FunctionContext, data: PieEvent) {
    const session = await find(context, data);
    const team = data.menuResult.value;
    if (!session || (team !== 'sales' && team !== 'support')) return createPieBuilder().say('Goodbye.').hangup().build();
    await context.cache.set(key(data.callid), { ...session, team, state: 'ringing' }, HOUR);
    const number = createConfig(context).requireVariable(team === 'sales' ? 'SALES_NUMBER' : 'SUPPORT_NUMBER');
    return createPieBuilder().say(`Connecting you to ${team}.`).connectPstn(number, { enableAce: true, maxDuration: HOUR }).build();
  },

  async ace(context: FunctionContext, data: VoiceEvent) {
    const session = await find(context, data);
    if (!session) return createAceBuilder().hangup().build();
    await context.cache.set(key(data.callid), { ...session, state: 'talking' }, HOUR);
    return createAceBuilder().say(`A call for ${session.team}.`).continue().build();
  },

  async dice(context: FunctionContext, data: DiceEvent) {
    const session = await find(context, data);
    if (!session) return;
    await context.cache.delete(key(data.callid));
    console.log(`call ${data.callid} for ${session.team ?? 'nobody'} is over: ${data.reason}, ${data.duration ?? 0} s`);
  },
} satisfies VoiceFunction;

/** The calls that are on, for callers with an access key: what no line opens is shut. */
export async function status(context: FunctionContext) {
  const sessions = Object.values(await context.cache.getMany<Session>(await context.cache.keys('call:*')));
  return { active: sessions.filter((session) => session !== null) }; // one may have ended since its key was read
}

const find = (context: FunctionContext, { callid }: VoiceEvent) => context.cache.get<Session>(key(callid));

function isOpen(config: Config, at: Date): boolean {
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone: config.getVariable('TIME_ZONE', 'UTC'), weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  const { weekday, hour, minute } = Object.fromEntries(clock.formatToParts(at).map(({ type, value }) => [type, value]));
  const time = `${hour}:${minute}`;
  return config.requireVariable('DAYS').split(' ').includes(weekday!) && time >= config.requireVariable('OPENS') && time < config.requireVariable('CLOSES');
}
