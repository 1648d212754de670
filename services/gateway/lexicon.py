"""The router's words by concept, in English, Spanish and Russian, folded; `*` stands for any ending."""

from typing import Final

LEXICON: Final[dict[str, str]] = {
    "draw": """
        draw draws drew drawn paint paints sketch illustrate* render renders depict* visuali* scribbl* doodl* portray*
        dibuj* pint* ilustr* bosquej* trac* traz* esboz* retrat* plasm* garabat* represent*
        рису* нарис* порису* дорис* изобраз* намал* наброса* накида* отрендер* зарендер* проиллюстр* визуализ* начерт*
        начирик* отобраз*""",
    "make": """
        make makes making create* creat* generat* produc* design* craft* build whip cook give need want wanna
        haz hazme hazlo hagas haces hacer haceme hace crea* gener* disen* elabor* produ* prepar* dame quiero necesit* quisiera
        сдела* делай создай* создат* сгенер* генер* подготов* нужен нужна нужно нужны хочу хочется дай дайте хотел* сваргань
        сваяй замути* забабахай""",
    "show": """
        show shows imagine imagin* see
        muestr* mostr* ensen* imagin* ver
        покаж* показ* представь* увид* глянуть""",
    "picture": """
        picture* image* img imgs photo* pic pics photograph* drawing* painting* illustration* artwork* art wallpaper* poster* logo*
        icon icons portrait* sticker* avatar* banner* meme memes watercolo* mural* cartoon* comic* snapshot* selfie* sketches
        canvas landscape* doodle graffiti collage* cover
        imagen* foto* dibujo* pintura* ilustracion* cuadro* boceto* retrato* cartel* icono* fondo dibujit* lamina* afiche*
        postal* vineta* caricatur* avatar* lienzo* paisaje* tatuaje* acuarel* mural*
        картин* изображен* рисун* фото* фотк* арт арты арта иллюстрац* наброс* эскиз* портрет* постер* плакат* логотип* лого обои
        иконк* аватар* стикер* открытк* акварел* пейзаж* полотн* холст* мем мемы скетч* обложк* снимк* снимок селфи карикатур*
        раскраск* граффити изо пикч*""",
    "style": """
        style styled anime pixel realistic photorealistic cinematic cyberpunk minimalist* detailed neon oil impression* surreal*
        background colou* ghibli gogh picasso monet 0k 0d
        estilo anime pixel realista fotorrealista cinematografic* minimalista oleo neon detallad* color* ciberpunk
        стиле стиль стилист* маслом пиксел* реалист* фотореалист* аниме неон* цвет* детализ* гог* пикассо моне киберпанк* фоне""",
    "mix": """
        blend* mix mixes mixed mixing mixture merg* combin* fuse fuses fused fusing fusion* morph* mash* interpolat* cross crossed
        crossbre* overlay* superimpos* averag* hybrid* join unite* stir splice* halfway between mingle* midway
        mezcl* fusion* combin* une unir* unan junta* junte* cruza* cruce superpon* interpol* hibrid* promedi* mix mixea* funde* fundir
        amalgam* intermedi*
        смеш* мешай* замеш* перемеш* объедин* соедин* слей* слить слия* слив* скрещ* скрест* совмест* совмещ* комбинир* скомбинир*
        налож* наклад* склей* микс* миксани гибрид* усредн* сочета* сплав* вперемеш* среднее между морф* сольй помес* намешай""",
    "pair": """
        both two pair these them together
        ambas ambos dos estas estos juntas juntos
        обе оба обеих обоих две два двух двумя эти этих вместе парочк*""",
    "ordinal": """
        first second third other left latter former
        primer* segund* tercer* otra izquierda derecha
        перв* втор* трет* лев* прав*""",
    "share": """
        half percent* third thirds quarter* weight* equal* evenly ratio share fifty
        mitad tercio* cuarto* ciento porcentaje peso* iguales proporcion* partes
        половин* процент* треть трети четверт* вес веса весом поровну дол* пополам пропорц*""",
    "emotion": """
        emotion* sentiment* mood* feeling* tone vibe* attitude feels felt feel
        emocion* sentimient* animo tono humor siente sientes actitud sentiria
        эмоци* чувств* настроен* тональност* тон тоном сентимент* интонац* окраск*""",
    "mood": """
        angry anger happy happiness sad sadness positive negative neutral sarcas* sarcasm joy joyful fear afraid scared upset annoyed
        annoy* rude friendly furious hostile polite disgust* surpris* irritat* irony ironic disappoint* grateful excited frustrat*
        pos neg toxic mad pleased satisfied love hate bitter jealous* nervous anxious proud
        enfad* enoj* feliz felic* triste* tristeza positiv* negativ* neutr* sarcas* alegr* miedo ira contento* contenta* molest*
        furios* ironi* asco sorpres* agresiv* amable* decepcion* rabia satisfech* disgust* frustra* orgullo* celos* nervios*
        зл злой злая злит* злост* злиш* злоб* груст* радост* рад рада позитив* негатив* нейтрал* сарказ* сарками* страх* гнев* доволен
        довольн* недовол* расстро* раздраж* сердит* положительн* отрицательн* ирони* отвращ* удивл* обид* агресс* печал* счаст*
        тревог* тревож* благодарн* разочаров* восторг* хамств* груб* любов* весел* веселый бесит""",
    "classify": """
        classif* label* detect* identif* recogni* categor* tag tags analys* analyz* determin* rate score assess* evaluat* sort guess
        judge gauge
        clasific* etiquet* detect* identific* identif* reconoc* categor* analiz* determin* evalu* califica* adivin* valora*
        классифиц* определ* распозна* размет* проанализ* анализ* оцен* категориз* отнеси узнай угада* выяви*""",
    "text": """
        text texts message* sentence* tweet* comment* review* email* mail post posts paragraph* passage* phrase* article* letter*
        document* excerpt* context note notes feedback reply line words quote snippet report contract transcript chapter
        texto* mensaje* frase* tuit* comentario* resena* correo* parrafo* pasaje* oracion* articulo* carta* documento* fragmento*
        contexto opinion* nota notas linea* extracto* informe* contrato* capitulo*
        текст* сообщен* предложен* твит* комментар* коммент* отзыв* письм* абзац* отрыв* фраз* стать* документ* фрагмент* контекст*
        пост посте поста запис* заметк* смс реплик* реценз* договор* отчет* глав* выдержк* цитат*""",
    "given": """
        according based following above below attached provided given from states stated says mentioned described pasted
        segun siguiente* anterior* adjunt* arriba abajo basandote basado dado dice menciona* describe*
        согласно судя следующ* выше ниже прилож* исходя основе основан* данном упомин* говорит* сказан* описан* указан* написан*
        приведен* прикреп*""",
    "write": """
        write writes writing wrote written draft* compose* composing rewrit* edit edits proofread* rephras* paraphras* reword* pen
        phrase polish improve correct fix brainstorm suggest come
        escrib* redact* reescrib* compon* corrig* corrij* correg* parafras* reformul* mejor* inventa* sugier* propon* pul*
        напиш* напис* пиши пишите пишешь составь* состави* сочин* перепиш* перефраз* отредакт* исправ* редакт* придум* набросай
        переформул* сформул* улучш* предлож* накатай переделай проверь дополни дописать допиши""",
    "summarise": """
        summar* shorten* condens* tldr gist brief* sum recap* digest outline key main points nutshell boil
        resum* acort* sintetiz* sintesis condens* puntos clave breve* abrevia* esencia
        кратк* резюм* сократ* укорот* перескаж* пересказ* суммир* выжим* сожми* саммари обобщ* тезис* вкратце суть коротко главное""",
    "translate": """
        translat*
        traduc* traduz*
        перевед* перевод* переве*""",
    "language": """
        english spanish russian french german italian portuguese chinese japanese korean arabic latin polish ukrainian turkish
        ingles* espanol* ruso frances* aleman* italian* portugues* chino japones* coreano arabe castellano latin
        английск* испанск* русск* французск* немецк* итальянск* китайск* японск* португальск* корейск* арабск* латын* турецк*
        польск* украинск* инглиш""",
    "piece": """
        poem* story stories essay* email letter* speech* song* lyrics haiku* article* blog* slogan* list lists plan plans recipe*
        code function* script* caption* title* headline* toast* invitation* resume cv tagline* bio biography dialogue* limerick*
        rhyme* verse* ad advert* newsletter* wish wishes greeting* summary tutorial* outline* proposal* complaint* description*
        synonym* antonym* itinerar* hashtag* menu formula pros cons packing checklist* agenda* template* tips arguments conclusion
        introduction abstract cv survey quiz slides wording
        python javascript sql java regex html program* rap novel ideas names paragraph* press memo review monologue ballad ode
        poema* cuento* ensayo* carta* correo* discurso* cancion* articulo* lista* plan* receta* codigo funcion* eslogan* titulo*
        resumen* historia* relato* verso* brindis invitacion* soneto* dialogo* anuncio* felicitacion* script* programa* guion*
        sinonimo* antonimo* itinerario* hashtag* menu formula* expresion pros contras consejos plantilla* argumentos conclusion
        introduccion esquema encuesta cuestionario tabla horario regex python javascript sql
        descripcion* trabalenguas ideas nombres biografia* nota queja* rima* monologo* haiku* copla* consulta
        стих* рассказ* сказк* эссе письмо* речь речи песн* стать* список списк* план планы рецепт* код функци* слоган* заголов* тост
        приглашен* поздравл* истори* резюме сочинен* объявлен* пост* скрипт* программ* диалог* описан* инструкц* хокку хайку
        синоним* антоним* хештег* меню плюсы минусы формул* шаблон* совет* аргумент* заключен* введен* опрос* тест таблиц* чек чеклист
        расписан* реферат* абзац* подпис* питон* python sql
        анкет* биограф* идеи идей названи* имена загадк* частушк* басн* жалоб* заявлен* реклам* монолог* пожелан* доклад* отчет*""",
    "question": """
        what who whom whose when where why how which
        que quien* cuando donde como cual* cuant*
        что чего кто кого кому кем чем когда где почему зачем как каков* каки* какой какая какое какую каком сколько скольк* чей чья
        откуда куда отчего""",
    "matter": """
        policy policies refund* password* account* symptom* disease* treatment* cause* causes price* cost costs deliver* warranty
        ship shipping return* subscription* invoice* insurance fee fees deadline* vaccin* diabet* cancer* pain blood* capital* president*
        invented discover* population* tax* visa* passport* medicine* dose* doctor* infection* side effects prevent* cure* meaning
        difference between support* rules holiday* document* opening hours customer*
        politica* reembols* contrasen* cuenta cuentas sintoma* enfermedad* tratamient* causa* precio* cuesta* envio* garantia* devol*
        suscripcion* factura* seguro* tarifa* plazo* vacun* diabet* cancer* dolor* sangre capital* president* invent* descubr*
        poblacion* impuesto* visado* pasaporte* medicament* dosis infeccion* efectos diferencia* horario* tramite* requisit* cliente*
        политик* возврат* возвращ* вернуть верн* парол* аккаунт* симптом* болезн* заболев* леч* причин* цен* стоит стоим* доставк*
        гаранти* подписк* счет* страхов* тариф* срок* прививк* вакцин* диабет* рак рака боль боли кров* столиц* президент* изобр*
        изобрел* открыл* населен* налог* виз* паспорт* лекарств* доз* инфекц* побочн* разниц* отлич* график* правил* документ*
        клиент* оформ*""",
    "tell": """
        tell explain* know say describe* clarif* wonder* info information
        dime explic* saber sabes cuentame decir* diga digame informacion aclar* describ*
        скаж* подскаж* объясн* расскаж* знаешь знаете узнать сообщ* информац* интересу* опиши поясни* растолк*""",
    "you": """
        you your yours yourself u ur
        tu te ti usted* eres tus vos contigo
        ты вы тебя тебе тобой вас вам вами твой твоя твои твое твоем ваш ваша ваши""",
    "mine": """
        my mine me i im
        mi mis mio mia
        мой моя мои мое моего моей моем моих мне меня""",
    "now": """
        now today tomorrow tonight yesterday current currently latest nearest next near nearby monday tuesday wednesday thursday friday
        saturday sunday oclock am pm minutes minute hour
        hoy manana ahora anoche ayer actual ultim* cercan* cerca proxim* lunes martes miercoles jueves viernes sabado domingo minutos
        сегодня завтра сейчас вчера ближайш* следующ* последн* рядом понедельник* вторник* сред* четверг* пятниц* суббот* воскресен*
        минут* часов часа""",
    "manner": """
        steps guide instructions tutorial howto procedure process way
        pasos guia instrucciones procedimiento manera forma
        шаги инструкц* порядок способ* процедур* образом""",
    "can": """
        can could would able capab* abilit* skill* feature* help assist
        puedes puede puedas podri* podes capaz capacidad* habilidad* funciones ayuda* ayudar*
        можешь можете можно могли мог сможешь сможете умее* умеешь умеете способн* возможност* функции помоги* помощ* помоч*""",
    "greet": """
        hello hi hey hiya howdy thanks thank thx bye goodbye morning evening welcome cheers greetings night sup yo
        hola gracias adios buenos buenas saludos chao hey holi bienvenid* tardes noches
        привет* здравств* здрасьте здаров* спасибо спс пока добрый доброе доброго свидан* салют хай ку хеллоу благодар* споки спокойной
        прощай* доброй""",
    "person": """
        bot robot* ai human name joke* funny alive old friend bored lonely chatgpt gpt assistant birthday favourite favorite hobby hobbies
        bot robot* humano* ia nombre llamas chiste* aburrid* amigo* asistente cumpleanos favorit* chatgpt gracios*
        бот бота боты робот* ии человек* зовут шутк* пошути* анекдот* скучно скучаю друг друзья ассистент* любим* нейросет* чатгпт
        дела смешн* прикол* лет живой""",
    "device": """
        alarm* remind* timer* play plays music volume light lights turn switch book booking order call taxi uber flight* weather
        reserve* calendar* meeting schedule send pay transfer* balance buy thermostat navigat* directions traffic temperature lamp tv
        podcast* radio spotify playlist* dial appointment tickets* ticket* lock vacuum
        alarma* recordat* recuerd* temporizador* pon reproduc* musica volumen luz luces enciend* apag* reserv* pide llam* taxi vuelo*
        clima calendario reunion cita envia* paga* transfier* saldo compr* agend* termostato trafico radio tele temperatura entradas
        будильник* напомн* напомин* таймер* включ* выключ* музык* громк* свет света закаж* заброн* брон* позвон* звон* такси рейс*
        погод* календар* встреч* отправ* оплат* деньги денег баланс* купи* температур* ламп* кондиционер* пробк* маршрут* билет*
        столик* пылесос* радио плейлист*""",
    "scene": """
        cat cats kitten* dog dogs puppy fox foxes wolf wolves bear bears lion* tiger* horse* bird* owl* eagle* dragon* unicorn* fish*
        whale* shark* dolphin* elephant* giraffe* panda* penguin* rabbit* bunny butterfl* spider* snake* frog* turtle* dinosaur* deer
        knight* wizard* witch* princess* king queen samurai ninja* pirate* astronaut* mermaid* elf fairy ghost* vampire* zombie* angel*
        castle* tower* bridge* house* cottage* cabin* village* city skyline street* temple* church* ruins lighthouse* harbo* garden*
        forest* wood woods tree trees mountain* volcano* desert* beach* ocean sea lake* river* waterfall* island* field* meadow* valley*
        cave* sky cloud* sunset sunrise dawn dusk moon* stars starry galaxy planet* space spaceship* rocket* rainbow* storm* snow* fog
        mist* boat* ship ships sailboat* train trains car cars bicycle* motorcycle* plane airplane* balloon* flower* rose roses tulip*
        sunflower* mushroom* cake* fruit apple* lantern* candle* umbrella* sword* armor armour crown* hat wings red blue green yellow purple
        orange pink golden silver black white circle* square* triangle* rectangle* cube* sphere* girl girls boy boys 0girl 0girls 0boy 0boys
        woman warrior* skeleton* statue* violin* guitar* piano* window* chair* bench* glowing misty snowy ancient giant tiny futuristic
        gato* gatit* perro* perrit* cachorr* zorro* lobo* oso osos leon* tigre* caballo* pajaro* buho* aguila* dragon* unicornio* pez
        peces ballena* tiburon* delfin* elefante* jirafa* panda* pinguino* conej* maripos* arana* serpiente* rana* tortuga* dinosaurio*
        ciervo* caballero* mago* bruja* princesa* rey reina pirata* astronauta* sirena* elfo* hada* fantasma* vampiro* angel* castillo*
        torre* puente* casa casas cabana* pueblo* aldea* ciudad* calle* templo* iglesia* ruinas faro faros puerto* jardin* bosque* arbol*
        montan* volcan* desierto* playa* oceano* mar lago* rio rios cascada* isla* campo* valle* cueva* cielo* nube* atardecer* amanecer*
        luna estrella* galaxia* planeta* espacial espacio nave naves cohete* arcoiris tormenta* nieve niebla barco* velero* tren trenes
        coche* bicicleta* avion* globo* flor flores rosa rosas tulipan* girasol* seta* pastel fruta* manzana* farol* vela velas paraguas
        espada* armadura* corona* sombrero* alas rojo* roja* azul* verde* amarill* morado* purpura* naranja* dorad* platead* negro* negra*
        blanc* circulo* cuadrado* triangulo* rectangulo* cubo* esfera* chica* chico* nina* nino* guerrer* estatua* violin* guitarra* piano*
        ventana* silla* gigante* antigu* futurist*
        кот кота коты котом кошк* котен* котик* собак* пес песик* щен* лис* волк* медвед* лев льва тигр* лошад* конь коня птиц* сова совы сову
        орел орла дракон* единорог* рыб* кит кита акул* дельфин* слон* жираф* панд* пингвин* кролик* заяц зайц* бабочк* паук* зме* лягуш*
        черепах* динозавр* олен* рыцар* волшебник* ведьм* принцесс* король корол* пират* космонавт* астронавт* русалк* эльф* фея феи фею призрак*
        вампир* ангел* замок замк* башн* мост* дом дома домик* изб* дерев* город* улиц* храм* церк* руин* маяк* гаван* порт сад сада саду
        лес леса лесу лесом гор гора горы горн* вулкан* пустын* пляж* океан* море моря морем озер* река реки реку реке рекой водопад* остров* поле поля полем долин* пещер*
        неб* облак* закат* рассвет* лун* звезд* галактик* планет* космос* космич* ракет* радуг* буря бури снег* снеж* туман* лодк* корабл*
        парусник* поезд* машин* велосипед* самолет* шар шары цвет цветы цветок роза розы розу розой тюльпан* подсолнух* гриб* торт* фрукт* яблок* фонар* свеч*
        зонт* меч* доспех* корон* шляп* крыль* красн* синий синяя синее синего синюю синие синего голуб* зелен* желтый желт* фиолет* оранж* розов* золот* серебр* черн* белый белая белое белого белом белую белые круг* квадрат*
        треугольник* прямоуг* куб* сфер* девушк* девочк* парень мальчик* женщин* воин* статуя статуи скрипк* гитар* пианино окн* стул*
        светящ* древн* огромн* крошечн*""",
}
"""Concept -> entries. Order does not matter; a word that is listed twice has both concepts."""
