import { createConfig, createIceBuilder, createMenu, createPieBuilder, type FunctionContext, type IceEvent, MenuTemplates, type PieEvent, type VoiceFunction } from '@postern/functions';

type Config = ReturnType<typeof createConfig>;

/** What the caller hears first; extension leads to a second menu. */
function mainMenu(config: Config) {
  return createMenu()
    .prompt(`Thank you for calling ${config.getVariable('COMPANY_NAME', 'Acme Corp')}. Press 1 for sales, 2 for support, 3 for an extension, or 0 for an operator.`)
    .repeatPrompt('Press 1 for sales, 2 for support, 3 for an extension, or 0 for an operator.')
    .option('1', 'return(sales)')
    .option('2', 'return(support)')
    .option('3', 'menu(extension)')
    .option('0', 'return(operator)')
    .menu('extension')
    .prompt('Enter the three digits of the extension.')
    .maxDigits(3)
    .build();
}

const goodbye = (why: string) => createPieBuilder().say(why).hangup().build();

export default {
  async ice(context: FunctionContext, data: IceEvent) {
    console.log(`call ${data.callid} to ${data.to?.endpoint}`);
    return createIceBuilder().answer().runMenu(mainMenu(createConfig(context))).build();
  },

  async pie(context: FunctionContext, data: PieEvent) {
    const config = createConfig(context);
    const { type, value, menuId } = data.menuResult;
    if (type === 'timeout' || type === 'hangup' || type === 'error') return goodbye('Goodbye.');
    // What was pressed comes from the caller: it chooses among what is here, and is nothing else.
    if (menuId === 'extension') {
      const extension = JSON.parse(config.getVariable('EXTENSIONS', '{}'))[value ?? ''];
      if (typeof extension !== 'string') return createPieBuilder().say('There is no such extension.').runMenu(mainMenu(config)).build();
      return createPieBuilder().say('Connecting you.').connectPstn(extension).build();
    }
    switch (value) {
      case 'sales': return createPieBuilder().say('Connecting you to sales.').connectPstn(config.requireVariable('SALES_NUMBER'), { timeout: 20 }).build();
      case 'support': return createPieBuilder().runMenu(MenuTemplates.recordingConsent()).build();
      case 'consent': return createPieBuilder().startRecording().connectPstn(config.requireVariable('SUPPORT_NUMBER')).build();
      case 'no_consent': return createPieBuilder().connectPstn(config.requireVariable('SUPPORT_NUMBER')).build();
      case 'operator': return createPieBuilder().say('Please hold.').connectPstn(config.requireVariable('OPERATOR_NUMBER')).build();
      default: return createPieBuilder().say('That is none of the choices.').runMenu(mainMenu(config)).build();
    }
  },

  async dice(_context, data) {
    console.log(`call ${data.callid} is over: ${data.reason}, ${data.duration ?? 0} s`);
  },
} satisfies VoiceFunction;
