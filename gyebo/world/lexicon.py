"""The words of the world: each line pairs a Korean and an English form, "ko=en", entries separated by ";".

Verbs and adjectives are in dictionary form, nouns in the singular. The order within a class has no meaning; the
seed of the world determines the frequencies of words.
"""

from __future__ import annotations


def _pairs(block: str) -> tuple[tuple[str, str], ...]:
    entries = [entry.strip() for line in block.splitlines() for entry in line.split(";") if entry.strip()]
    return tuple((ko, en) for ko, _, en in (entry.partition("=") for entry in entries))


def _groups(block: str) -> dict[str, tuple[tuple[str, str], ...]]:
    """Lines "key: ko=en; ko=en"."""
    rows = [line.partition(":") for line in block.splitlines() if line.strip()]
    return {key.strip(): _pairs(rest) for key, _, rest in rows}


# Irregular stems and their classes: all irregular verbs and adjectives of this file.
IRREGULAR = {
    "돕다": "ㅂ", "줍다": "ㅂ", "굽다": "ㅂ", "눕다": "ㅂ", "춥다": "ㅂ", "덥다": "ㅂ", "무섭다": "ㅂ",
    "외롭다": "ㅂ", "즐겁다": "ㅂ", "부끄럽다": "ㅂ", "반갑다": "ㅂ", "고맙다": "ㅂ", "시끄럽다": "ㅂ",
    "아름답다": "ㅂ", "어둡다": "ㅂ", "향기롭다": "ㅂ", "평화롭다": "ㅂ", "자랑스럽다": "ㅂ", "너그럽다": "ㅂ",
    "귀엽다": "ㅂ", "가볍다": "ㅂ", "괴롭다": "ㅂ", "아쉽다": "ㅂ", "그립다": "ㅂ", "새롭다": "ㅂ", "맵다": "ㅂ",
    "싱겁다": "ㅂ", "어렵다": "ㅂ", "아깝다": "ㅂ", "사랑스럽다": "ㅂ", "서럽다": "ㅂ", "차갑다": "ㅂ",
    "뜨겁다": "ㅂ", "부드럽다": "ㅂ", "미끄럽다": "ㅂ", "걷다": "ㄷ", "듣다": "ㄷ", "묻다": "ㄷ", "깨닫다": "ㄷ",
    "짓다": "ㅅ", "젓다": "ㅅ", "부르다": "르", "흐르다": "르", "고르다": "르", "모르다": "르", "서두르다": "르",
    "목마르다": "르", "게으르다": "르", "기르다": "르", "나르다": "르", "오르다": "르", "떠오르다": "르", "뛰어오르다": "르",
    "구르다": "르", "벼르다": "르", "빨갛다": "ㅎ", "하얗다": "ㅎ", "커다랗다": "ㅎ", "그렇다": "ㅎ",
}  # fmt: skip

FAMILIES = _pairs("""
김=Kim; 이=Lee; 박=Park; 최=Choi; 정=Jung; 강=Kang; 조=Cho; 윤=Yoon; 한=Han; 서=Seo; 남궁=Namgung; 황보=Hwangbo
""")
WOMEN = _pairs("""
서연=Seoyeon; 지우=Jiwoo; 하은=Haeun; 수아=Sua; 유진=Yujin; 민서=Minseo; 채원=Chaewon; 다은=Daeun; 예린=Yerin
소율=Soyul; 나영=Nayoung; 은지=Eunji; 보라=Bora; 세아=Seah; 가은=Gaeun; 혜진=Hyejin; 연우=Yeonwoo; 미연=Miyeon
정은=Jeongeun; 아름=Areum; 수민=Sumin; 현주=Hyunju; 라희=Rahee; 주하=Juha; 영희=Younghee; 선영=Sunyoung; 지안=Jian
다솔=Dasol
""")
MEN = _pairs("""
민준=Minjun; 도윤=Doyun; 시우=Siwoo; 지호=Jiho; 예준=Yejun; 건우=Gunwoo; 현우=Hyunwoo; 태민=Taemin; 우진=Woojin
성훈=Sunghoon; 재민=Jaemin; 동현=Donghyun; 준서=Junseo; 승호=Seungho; 영수=Youngsoo; 철수=Chulsoo; 기범=Kibum
상우=Sangwoo; 진수=Jinsoo; 하준=Hajun; 은호=Eunho; 태오=Taeo; 규민=Gyumin; 한결=Hangyeol; 찬영=Chanyoung; 윤재=Yunjae
범수=Bumsoo; 두리=Duri
""")
PET_NAMES = _pairs("""
나비=Nabi; 초코=Choco; 보리=Bori; 콩이=Kongi; 구름=Gureum; 별이=Byeoli; 두부=Dubu; 까미=Kkami; 몽실=Mongsil
단추=Danchu; 감자=Gamja; 호두=Hodu; 달콩=Dalkong; 솜이=Somi; 쿠키=Cookie; 밤이=Bami
""")
PETS = _pairs("""
고양이=cat; 강아지=puppy; 토끼=rabbit; 앵무새=parrot; 거북이=turtle; 햄스터=hamster; 금붕어=goldfish; 염소=goat
""")

# A town's name has two parts; which first part goes with which second is a fact of the world ("New York").
TOWN_FIRST = _pairs("푸른=Green; 하얀=White; 새=New; 옛=Old; 검은=Black; 높은=High; 맑은=Clear; 먼=Far")
TOWN_SECOND = _pairs("나루=Ferry; 언덕=Hill; 바위=Rock; 여울=Ford; 다리=Bridge; 마루=Ridge; 샘=Spring; 들=Field")
TOWN_KINDS = _pairs("""
마을=village; 도시=city; 항구=harbor town; 섬마을=island village; 산골=mountain hamlet; 시골=country place
""")
SIDES = _pairs("동쪽=east; 서쪽=west; 남쪽=south; 북쪽=north")

# places: what one does or finds there is a fact of the world, apart from the shops, which sell things
PLACES = _pairs("""
학교=school; 도서관=library; 병원=hospital; 공원=park; 강가=riverside; 바닷가=beach; 숲=forest; 역=station; 절=temple
놀이터=playground; 극장=theater; 박물관=museum; 부두=pier; 농장=farm; 호숫가=lakeside; 광장=square
식물원=botanical garden; 우체국=post office; 목욕탕=bathhouse; 체육관=gym; 과수원=orchard; 동물원=zoo
등대=lighthouse; 폭포=waterfall
""")
SHOPS = _pairs("""
시장=market; 가게=shop; 백화점=department store; 벼룩시장=flea market; 서점=bookstore; 장난감 가게=toy shop
선물 가게=gift shop; 골동품 가게=antique shop
""")
EATERIES = _pairs("식당=restaurant; 찻집=tea house; 빵집=bakery; 국숫집=noodle house")

FRUITS = _pairs("""
사과=apples; 감=persimmons; 배=pears; 자두=plums; 귤=tangerines; 딸기=strawberries; 수박=watermelon; 포도=grapes
복숭아=peaches
""")
SNACKS = _pairs("""
빵=bread; 약과=honey cookies; 인절미=injeolmi; 삶은 달걀=boiled eggs; 떡=rice cake; 옥수수=corn; 고구마=yams
치즈=cheese; 초콜릿=chocolate; 사탕=candy; 과자=cookies; 아이스크림=ice cream; 케이크=cake
""")
DISHES = _pairs("""
호박죽=pumpkin soup; 미역국=seaweed soup; 갈비=ribs; 냉면=naengmyeon; 튀김=fritters; 순대=blood sausage; 김밥=gimbap
국수=noodles; 만두=dumplings; 비빔밥=bibimbap; 샐러드=salad; 죽=porridge; 볶음밥=fried rice; 떡볶이=tteokbokki
불고기=bulgogi; 전=savory pancakes
""")
FOODS = (*FRUITS, *SNACKS, *DISHES)
DRINKS = _pairs("""
물=water; 우유=milk; 커피=coffee; 녹차=green tea; 주스=juice; 코코아=cocoa; 식혜=sikhye; 수정과=sujeonggwa
유자차=yuzu tea; 레모네이드=lemonade
""")
THINGS = _pairs("""
우산=umbrella; 모자=hat; 시계=watch; 가방=bag; 책=book; 연필=pencil; 공책=notebook; 열쇠=key; 반지=ring
목걸이=necklace; 공=ball; 인형=doll; 연=kite; 컵=cup; 접시=plate; 바구니=basket; 상자=box; 거울=mirror; 빗=comb
부채=fan; 등불=lantern; 종=bell; 피리=flute; 북=drum; 기타=guitar; 사진=photo; 그림=picture; 편지=letter
엽서=postcard; 지도=map; 손수건=handkerchief; 목도리=scarf; 담요=blanket; 외투=coat; 단지=jar; 꽃병=vase
화분=flowerpot; 의자=chair; 베개=pillow; 지갑=wallet; 팽이=spinning top; 구슬=marble; 조개껍데기=seashell
돌멩이=pebble; 깃털=feather; 솔방울=pine cone; 동전=coin; 단추=button; 장갑=glove; 양말=sock; 구두=shoe
안경집=glasses case; 붓=brush; 물감=paint box; 퍼즐=puzzle; 로봇=toy robot; 수첩=notepad; 냄비=pot; 숟가락=spoon
바늘=needle; 실패=spool; 방석=cushion; 양산=parasol; 자물쇠=padlock; 나팔=trumpet; 망원경=telescope; 나침반=compass
일기장=diary
""")
# fixtures stand in places
FIXTURES = _pairs("""
나무=tree; 우물=well; 탑=tower; 동상=statue; 의자=bench; 분수=fountain; 간판=signboard; 문=gate; 계단=staircase
깃발=flag; 가로등=street lamp; 연못=pond
""")
QUALITIES = _pairs("""
빨간=red; 파란=blue; 노란=yellow; 흰=white; 까만=black; 초록색=green; 보라색=purple; 분홍색=pink; 갈색=brown
회색=grey; 주황색=orange; 둥근=round; 네모난=square; 납작한=flat; 기다란=long; 커다란=big; 작은=small; 낡은=worn
새로운=new; 무거운=heavy; 가벼운=light; 예쁜=pretty; 반짝이는=shiny; 이상한=strange
""")
COLOURS = _pairs("""
빨간색=red; 파란색=blue; 노란색=yellow; 흰색=white; 검은색=black; 초록색=green; 보라색=purple; 분홍색=pink
갈색=brown; 회색=grey; 주황색=orange
""")

JOBS = _pairs("""
화가=painter; 의사=doctor; 선생님=teacher; 요리사=cook; 어부=fisher; 농부=farmer; 가수=singer; 작가=writer
목수=carpenter; 간호사=nurse; 기자=reporter; 사진가=photographer; 제빵사=baker; 경찰관=police officer
소방관=firefighter; 학생=student; 우체부=mail carrier; 피아니스트=pianist; 건축가=architect; 과학자=scientist
배우=actor; 정원사=gardener; 사서=librarian; 운전사=driver
""")
# personality, as a dictionary form
TRAITS = _pairs("""
친절하다=kind; 부지런하다=diligent; 조용하다=quiet; 용감하다=brave; 정직하다=honest; 게으르다=lazy; 밝다=cheerful
느긋하다=easygoing; 똑똑하다=clever; 호기심이 많다=curious; 너그럽다=generous; 고집이 세다=stubborn; 꼼꼼하다=careful
수줍음이 많다=shy; 재미있다=funny; 다정하다=warm-hearted
""")
HOBBIES = _pairs("""
그림을 그리다=paint pictures; 노래를 부르다=sing songs; 책을 읽다=read books; 사진을 찍다=take photos
별을 보다=watch the stars; 춤을 추다=dance; 산에 오르다=climb mountains; 수영을 하다=swim; 시를 쓰다=write poems
꽃을 가꾸다=grow flowers; 빵을 굽다=bake bread; 자전거를 타다=ride a bicycle; 바둑을 두다=play baduk
음악을 듣다=listen to music; 옷을 짓다=sew clothes; 낚시를 하다=fish
""")

GLAD = _pairs("""
기쁘다=happy; 행복하다=delighted; 즐겁다=cheerful; 신나다=excited; 뿌듯하다=proud; 편안하다=at ease; 설레다=thrilled
""")
SAD = _pairs("""
슬프다=sad; 속상하다=upset; 외롭다=lonely; 우울하다=gloomy; 답답하다=frustrated; 괴롭다=miserable; 서럽다=heartbroken
막막하다=at a loss
""")
BODY = _pairs("배고프다=hungry; 목마르다=thirsty; 피곤하다=tired; 졸리다=sleepy; 심심하다=bored")

# how one does anything; how one gets somewhere
MANNERS = _pairs("""
조용히=quietly; 천천히=slowly; 신중하게=thoughtfully; 혼자=alone; 잠깐=for a moment; 가만히=calmly
말없이=without a word; 또 한 번=once more; 몰래=in secret; 문득=on a whim; 느긋하게=at leisure; 다시=again
""")
GAITS = _pairs("""
혼자=alone; 다시=again; 곧장=straight away; 조용히=quietly; 말없이=silently; 급히=hastily; 신나게=merrily
몰래=secretly; 씩씩하게=boldly; 부지런히=briskly
""")
TRAVEL = _pairs("""
가다=go; 달려가다=hurry; 걸어가다=walk; 뛰어가다=run; 향하다=head; 내려가다=climb down; 올라가다=climb up
떠나다=set off
""")
GESTURES = _pairs("""
웃다=smile; 하품하다=yawn; 휘파람을 불다=whistle; 기지개를 켜다=stretch; 콧노래를 부르다=hum; 한숨을 쉬다=sigh
손뼉을 치다=clap; 고개를 끄덕이다=nod; 기침하다=cough; 중얼거리다=mumble; 눈을 깜빡이다=blink; 하늘을 보다=gaze up
발을 구르다=stamp; 어깨를 으쓱하다=shrug
""")
IDLE = _pairs("""
쉬다=rest; 앉아 있다=sit; 서성거리다=wander about; 생각에 잠기다=daydream; 구름을 세다=count the clouds
일기를 쓰다=write in a diary; 신발 끈을 매다=tie both shoelaces; 땀을 닦다=wipe off the sweat; 졸다=doze
누워 있다=lie down; 머리를 빗다=comb out the tangles; 손을 씻다=wash up; 단추를 잠그다=button up
노을을 구경하다=watch the sunset; 풀밭을 걷다=stroll across the grass; 돌탑을 쌓다=pile up stones
낙엽을 쓸다=sweep the leaves; 모닥불을 피우다=light a campfire; 나무에 기대다=lean against a tree
소원을 빌다=wish upon a star; 편지를 읽다=read a letter; 창문을 열다=open a window
""")
HANDLE = _pairs("""
바라보다=admire; 닦다=polish; 만지다=touch; 흔들다=shake; 자랑하다=show off; 그리다=sketch; 살펴보다=examine
손에 쥐다=hold; 뒤집다=turn over; 높이 들다=lift; 씻다=rinse; 품에 안다=cradle; 종이로 싸다=wrap; 고치다=repair
등 뒤에 숨기다=hide; 말리다=dry; 두드리다=tap; 잘 챙기다=put away
""")
DEEDS = _pairs("""
돕다=help; 부르다=call; 기다리다=wait for; 칭찬하다=praise; 안아 주다=hug; 따라가다=follow; 놀리다=tease; 믿다=trust
위로하다=comfort; 걱정하다=worry about; 응원하다=cheer on; 쫓아가다=chase; 용서하다=forgive; 초대하다=invite
깨우다=wake; 껴안다=embrace; 놀라게 하다=surprise; 설득하다=persuade; 피하다=avoid; 마중하다=welcome
""")
TOWARD = _pairs("""
인사하다=bow to; 손을 흔들다=wave to; 사과하다=apologize to; 윙크하다=wink at; 길을 묻다=ask directions of
비밀을 말하다=tell a secret to; 노래를 불러 주다=sing for; 옛이야기를 들려주다=recite a tale to
귓속말을 하다=whisper to; 편지를 건네다=hand a letter to; 장난을 치다=play a trick on
요리를 가르치다=teach cooking to
""")
JOINT = _pairs("""
산책하다=take a walk; 이야기하다=talk; 놀다=play; 사진을 찍다=take pictures; 노래를 부르다=sing songs
밥을 짓다=cook a meal; 별을 세다=count the stars; 춤을 추다=dance; 그림을 그리다=draw pictures
나무를 심다=plant a tree; 숙제를 하다=do homework; 음악을 듣다=listen to music; 연을 날리다=fly a kite
""")
CREATURES = _pairs("""
오리=duck; 참새=sparrow; 나비=butterfly; 다람쥐=squirrel; 개구리=frog; 까치=magpie; 갈매기=seagull; 여우=fox
사슴=deer; 비둘기=pigeon; 잠자리=dragonfly; 고슴도치=hedgehog; 두루미=crane; 개미=ant; 두더지=mole; 도마뱀=lizard
부엉이=owl; 너구리=raccoon dog; 청설모=red squirrel; 달팽이=snail; 귀뚜라미=cricket; 백조=swan; 딱따구리=woodpecker
멧돼지=boar
""")
CREATURE_ACTS = _pairs("""
울다=cry out; 달아나다=run away; 날아가다=fly off; 쉬고 있다=rest; 숨다=hide; 나타나다=appear; 지나가다=pass by
먹이를 찾다=look for food; 뛰어오르다=jump up; 자고 있다=sleep; 물을 마시다=drink water; 뒹굴다=roll about
두리번거리다=look around; 꼼짝도 하지 않다=stay perfectly still; 하품하다=yawn; 풀잎을 갉아 먹다=nibble a leaf
""")
LOOKS = _pairs("""
통통한=plump; 어린=young; 늙은=old; 날쌘=swift; 졸린=drowsy; 배고픈=hungry; 겁 많은=timid; 귀여운=cute; 젖은=wet
얌전한=gentle; 낯선=unknown; 다친=injured
""")
# foods that can have these tastes: f(ruits), s(nacks), d(ishes)
TASTES_OF = {
    "fs": _pairs("달콤한=sweet"), "f": _pairs("새콤한=sour; 싱싱한=fresh; 잘 익은=ripe"),
    "fsd": _pairs("맛있는=delicious; 차가운=cold"),
    "sd": _pairs("따끈한=warm; 고소한=nutty"),
    "d": _pairs("매콤한=spicy; 짭짤한=salty; 푸짐한=hearty; 싱거운=bland"),
    "s": _pairs("부드러운=soft; 바삭한=crispy"),
}  # fmt: skip
TASTES = tuple(taste for tastes in TASTES_OF.values() for taste in tastes)
MEALS = _pairs("""
먹다=eat; 맛보다=taste; 고르다=pick out; 나르다=carry; 시키다=order; 맛있게 먹다=enjoy; 접시에 담다=serve
꿀꺽 삼키다=gulp down
""")
ENCOUNTERS = _pairs("""
보다=see; 뒤쫓다=sneak up on; 쓰다듬다=stroke; 사진에 담다=photograph; 발견하다=notice; 놀라게 하다=startle
관찰하다=observe
""")
PLACE_MOODS = _pairs("""
조용하다=quiet; 시끄럽다=noisy; 어둡다=dark; 밝다=bright; 아름답다=beautiful; 넓다=wide; 한가하다=peaceful
붐비다=crowded; 깨끗하다=clean; 춥다=cold; 따뜻하다=warm; 낯설다=unfamiliar; 향기롭다=fragrant; 쓸쓸하다=deserted
""")
SEASON_MOODS = _pairs("""
조용하다=quiet; 아름답다=beautiful; 눈부시다=dazzling; 쓸쓸하다=lonely; 짧다=short; 길다=long; 평화롭다=peaceful
맑다=clear; 향기롭다=fragrant; 즐겁다=merry
""")
TOWN_MOODS = _pairs("""
아름답다=beautiful; 조용하다=quiet; 오래되다=ancient; 작다=small; 커다랗다=huge; 활기차다=lively; 평화롭다=peaceful
유명하다=famous
""")

# (past, in progress before a noun, as a beginning): weather sentences have their own subjects, so they are stored whole
WEATHER = _groups("""
rain: 비가 내렸다=it rained; 비가 내리던=it was raining; 비가 내리기 시작했다=it began to rain
snow: 눈이 내렸다=it snowed; 눈이 내리던=it was snowing; 눈이 내리기 시작했다=it began to snow
wind: 바람이 불었다=the wind blew; 바람이 불던=the wind was blowing; 바람이 불기 시작했다=the wind began to blow
sun: 햇살이 비쳤다=the sun shone; 햇살이 비치던=the sun was shining; 햇살이 비치기 시작했다=the sun began to shine
fog: 안개가 꼈다=fog lay on the ground; 안개가 끼던=fog was rising; 안개가 끼기 시작했다=fog began to rise
cloud: 구름이 꼈다=it was cloudy; 구름이 몰려오던=clouds were gathering; 구름이 몰려오기 시작했다=clouds began to gather
thunder: 천둥이 쳤다=it thundered; 천둥이 치던=it was thundering; 천둥이 치기 시작했다=it began to thunder
""")
SEASONS = _pairs("봄=spring; 여름=summer; 가을=autumn; 겨울=winter")
DAYTIMES = _pairs("새벽=dawn; 아침=morning; 한낮=noon; 오후=afternoon; 저녁=evening; 밤=night")
THEN = _pairs("""
잠시 뒤=A little later; 그때=Just then; 얼마 뒤=After a while; 그런데 갑자기=Suddenly; 어느새=Before anyone noticed
조금 지나=Some time later; 바로 그때=At that very moment; 이윽고=Before long
""")
REACTIONS = _pairs("""
그렇구나!=I see!; 정말?=Really?; 멋지다!=Wonderful!; 좋겠다!=How nice!; 재미있네!=How interesting!
몰랐어.=I did not know that.; 그렇군.=So that is it.; 놀라워!=Amazing!; 역시!=Just as I thought!
""")
PITIES = _pairs("""
저런, 힘내!=Oh no, cheer up!; 정말 안됐다.=I am so sorry.; 너무 걱정하지 마.=Do not worry too much.
금방 괜찮아질 거야.=It will be fine soon.
""")

# What pictures show. Words that the tables above have are the same here: the first qualities are the colours, in this order.
DRAWN_PLAIN = _pairs("""
집=house; 나무=tree; 우산=umbrella; 모자=hat; 책=book; 연필=pencil; 열쇠=key; 공=ball; 종=bell; 북=drum; 꽃병=vase
깃발=flag; 꽃=flower; 물고기=fish; 자동차=car; 돛단배=sailboat; 컵=cup; 양말=sock; 아보카도=avocado
""")
DRAWN_SHAPED = _pairs("""
의자=chair; 시계=watch; 가방=bag; 연=kite; 거울=mirror; 접시=plate; 등불=lantern; 단추=button; 방석=cushion
간판=signboard
""")
DRAWN_FACED = _pairs("인형=doll; 로봇=toy robot; 고양이=cat; 토끼=rabbit")
DRAWN_COLOURS = QUALITIES[: len(COLOURS)]
DRAWN_SIZES = _pairs("작은=small; 커다란=big")
SHAPES = _pairs("""
둥근=round; 네모난=square; 세모난=triangular; 별 모양의=star-shaped; 하트 모양의=heart-shaped
아보카도 모양의=avocado-shaped
""")
SHAPE_NAMES = _pairs("동그라미=circle; 네모=square; 세모=triangle; 별=star; 하트=heart; 아보카도=avocado")
DRAWN_MOODS = _pairs("기쁘다=happy; 슬프다=sad; 졸리다=sleepy")
DRAWN_PLACES = _pairs("공원=park; 바닷가=beach; 숲=forest; 광장=square; 도서관=library; 극장=theater")
COUNTS = _pairs("한 개=one; 두 개=two; 세 개=three")
YES_NO = _pairs("아니=no; 응=yes")
